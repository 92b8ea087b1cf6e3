"""Coverage-guided fuzzing of everything that reads what may come from anybody.

    pip install --group fuzz
    python benchmarks/fuzz.py runs/fuzz --seconds 300 [--targets decode tar parquet numpy recipe values]

Each target gets bytes from libFuzzer, which atheris brings to Python: it keeps those that reach new lines of the
readers (twofold's and the Python libraries' they use) and changes them further. It begins with small files of every
kind that is read, and goes on from OUT/TARGET/corpus, which it fills. A target survives what ends in the exception that
is documented for it. Everything else is kept as a file in OUT/TARGET/found, once for each place where it is raised,
with its traceback; so are inputs that take longer than `SECONDS`, more memory than `MIB`, or end the process.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TWOFOLD_IMAGE_MIB"] = "16"
SECONDS, MIB = 30, 2048
"""What one input may take."""
INSTRUMENTED = ["twofold.data", "twofold.recipe", "twofold.storage", "tifffile", "PIL", "tarfile", "zipfile", "tomllib"]
ROOT = Path(__file__).parents[1]

Target = Callable[[bytes], object]


def check_line(error: Exception) -> None:
    """What is said of a file is one line."""
    if "\n" in str(error):
        raise RuntimeError(f"more than one line: {error}")


def targets(place: Path) -> dict[str, tuple[Target, Callable[[], dict[str, bytes]]]]:
    """What is fuzzed, and the inputs to begin with, by name. Files are written to ``place``, a folder in memory."""
    from twofold.data.arrays import load_array
    from twofold.data.decode import Unreadable, decode
    from twofold.data.opening import open_data
    from twofold.errors import UsageError
    from twofold.recipe import recipe, toml

    def images(content: bytes) -> None:
        try:
            image = decode(content)
        except Unreadable as error:
            check_line(error)
        else:
            assert image.ndim == 3, image.shape
            assert 1 <= image.shape[0] <= 16, image.shape
            assert image.dtype.name in ("uint8", "uint16", "float32"), image.dtype

    def opened(name: str) -> Target:
        def read(content: bytes) -> None:
            (place / name).write_bytes(content)
            try:
                data = open_data(place / name)
                source = data.train
                assert all("\n" not in note for note in data.notes), "a note is one line"
                for index in range(min(3, len(source))):
                    assert source.name(index).encode(), "a name is text"
                    try:
                        source.image(index)
                    except Unreadable:
                        continue
                source.fingerprint()
                assert source.labels is None or len(source.labels) == len(source), "a label an image"
                assert source.classes is None or max(source.labels or [0]) < len(source.classes), "a name a class"
            except UsageError as error:
                check_line(error)

        return read

    def array(content: bytes) -> None:
        for name in ("a.npy", "a.npz"):
            (place / name).write_bytes(content)
            try:
                load_array(place / name)
            except UsageError as error:
                check_line(error)

    def recipes(content: bytes) -> None:
        text = content.decode(errors="surrogateescape")
        (place / "r.toml").write_bytes(content)
        try:
            found = toml.load(place / "r.toml")
        except UsageError as error:
            check_line(error)
        else:
            again = toml.parsed("".join(f"{k} = {toml.value_text(v)}\n" for k, v in found.given.items()), Path("r"))
            assert recipe.wanted(found.method, **toml._settings(again)) == found, text

    def values(content: bytes) -> None:
        method, _, rest = content.decode(errors="surrogateescape").partition("\n")
        try:
            given = json.loads(rest)
            request = recipe.wanted(method, **given) if isinstance(given, dict) else None
        except (UsageError, ValueError, RecursionError) as error:
            if isinstance(error, UsageError):
                check_line(error)
        else:
            assert request is None or request.given.keys() <= recipe.known(request.spec).keys()

    return {
        "decode": (images, small_images),
        "tar": (opened("a.tar"), small_tars),
        "parquet": (opened("a.parquet"), small_parquets),
        "numpy": (array, small_arrays),
        "recipe": (recipes, lambda: {path.name: path.read_bytes() for path in (ROOT / "recipes").glob("*.toml")}),
        "values": (values, settings),
    }


# -- what to begin with -----------------------------------------------------------------------------------------------


def small_images() -> dict[str, bytes]:
    """One of every kind of file that is read, 12 x 8 pixels."""
    import mutate
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    return {name: encode(Image.fromarray(pixels)) for name, encode in mutate.encoders().items()}


def small_tars() -> dict[str, bytes]:
    """With labels beside images, with class folders, with a link, in each of the three formats."""
    images = small_images()
    found = {}
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for name, content in {
                "0.png": images[".png"], "0.cls": b"7", "cat/1.jpg": images[".jpg"], f"é/{'long' * 20}.gif": b"GIF89a",
            }.items():  # fmt: skip
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            link = tarfile.TarInfo("cat/2.png")
            link.type, link.linkname = tarfile.LNKTYPE, "0.png"
            tar.addfile(link)
        found[str(form)] = file.getvalue()
    return found


def small_parquets() -> dict[str, bytes]:
    """Images as bytes and in the layout of Hugging Face, labels as numbers and as texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = small_images()[".png"]
    found = {}
    for name, columns in {
        "bytes": {"image": [content, content], "label": [0, 1]},
        "struct": {"image": [{"bytes": content, "path": "a"}, {"bytes": None, "path": "b"}], "label": ["a", None]},
    }.items():
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file)
        found[name] = file.getvalue()
    return found


def small_arrays() -> dict[str, bytes]:
    """An array of images, two of them with labels, packed and not."""
    import numpy as np

    images = np.zeros((3, 4, 5, 3), np.uint8)
    found = {}
    for name, save, arrays in (
        ("npy", np.save, [images]),
        ("npz", np.savez, []),
        ("packed", np.savez_compressed, []),
    ):
        file = io.BytesIO()
        more: dict[str, Any] = {} if arrays else {"x_train": images, "y_train": np.arange(3), "x_test": images[:1]}
        save(file, *arrays, **more)
        found[name] = file.getvalue()
    return found


def settings() -> dict[str, bytes]:
    """A method, and settings as JSON, one of every kind of value."""
    given = {
        "lr": 0.1, "epochs": 3, "mean": [0.5, 0.5, 0.5], "std": [1e-3, 2, 3], "crop_scale": [0.1, 1], "resident": True,
        "backbone_arguments": {"layers": [1, 1], "a": {"b": None}}, "optimizer": "sgd", "blur": [1, 0.1], "data": "a",
        "distortions": ["a.b:C"], "seed": 1 << 62,
    }  # fmt: skip
    return {name: f"{name}\n{json.dumps(given)}".encode() for name in ("simclr", "swav", "joint", "mae", "a.b:C")}


# -- fuzzing ----------------------------------------------------------------------------------------------------------


def fuzz(name: str, out: Path, seconds: int, seed: int) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        target, begin = targets(place)[name]
        inputs = begin()
    corpus, found = out / name / "corpus", out / name / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for kind, content in inputs.items():
        (corpus / f"begin-{kind}").write_bytes(content)

    def one(content: bytes) -> None:
        try:
            target(content)
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            key = hashlib.blake2b(f"{type(error)}{where.filename}{where.lineno}".encode(), digest_size=4).hexdigest()
            if not (found / f"{key}.bin").exists():
                (found / f"{key}.bin").write_bytes(content)
                (found / f"{key}.txt").write_text(traceback.format_exc())

    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MIB}", f"-seed={seed}"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, f"-artifact_prefix={found}/", "-max_len=16384"], one)
    atheris.Fuzz()


def main() -> None:
    names = ("decode", "tar", "parquet", "numpy", "recipe", "values")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder for corpora and for what is found")
    parser.add_argument("--targets", nargs="+", choices=names, default=list(names))
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.in_this_process:
        fuzz(o.targets[0], o.out, o.seconds, o.seed)
    wrong = 0
    for name in o.targets:
        until, tries = time.monotonic() + o.seconds, 0
        while (
            left := round(until - time.monotonic())
        ) > 0:  # after an input that ended the process there comes another
            words = [o.out, "--targets", name, "--seconds", left, "--seed", o.seed + tries, "--in-this-process"]
            done = subprocess.run([sys.executable, __file__, *map(str, words)], capture_output=True, text=True)
            said = [line for line in done.stderr.splitlines() if line.startswith(("Done", "=="))]
            print(f"{name}: {'; '.join(said) or done.stderr[-300:]}", flush=True)
            tries += 1
            if done.returncode == 0 or tries > 20:
                break
        if not said:  # it has not begun
            sys.exit(done.stderr)
        found = sorted(path for path in (o.out / name / "found").iterdir() if path.suffix != ".txt")
        wrong += len(found)
        for path in found:
            words = path.with_suffix(".txt")
            print(f"  {path}: {words.read_text().splitlines()[-1] if words.exists() else 'ended the process'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
