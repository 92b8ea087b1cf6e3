"""Mutated image files through the readers and the commands: how many are tried, how many are survived.

    python benchmarks/mutate.py photos runs/mutated --files 300

Takes real images, writes them in every format that is read, and spoils the files: bytes flipped, cut off, parts of two
spliced, under another format's name, with another size in the header. The same seed makes the same files. A file is
survived if nothing but the documented exceptions and exit codes comes of it, without a traceback or a signal, in time,
and with no more memory than stated. First each file is decoded by itself, then the commands get all.
"""

import argparse
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from twofold.data import bounds
from twofold.data.decode import FORMATS, Unreadable, decode
from twofold.data.encoded import files_under, is_image
from twofold.recipe.version import VERSION

SECONDS = 60
"""in which one file must have been decoded"""
MIB = 1 << 20
SIDE = 96
"""pixels of the pictures' longer side, at most"""
TRAINING = (
    "--method simclr --backbone-arguments layers [1,1,1,1] channels [8,8,16,16] --projector 32 16 --image-size 32 "
    "--channels 3 --epochs 1 --batch-size 16 --max-unreadable 1 --knn-every 0"
).split()

Pixels = np.ndarray[Any, Any]


def encoders() -> dict[str, Callable[[Image.Image], bytes]]:
    """Every kind of file that is read, by its ending; of some endings several kinds, told apart by a number."""

    def pillow(kind: str, **options: Any) -> Callable[[Image.Image], bytes]:
        def write(image: Image.Image) -> bytes:
            file = BytesIO()
            image.save(file, kind, **options)
            return file.getvalue()

        return write

    def bands(image: Image.Image, **options: Any) -> bytes:
        file = BytesIO()
        pixels = np.asarray(image).astype(np.uint16) * 257
        tifffile.imwrite(file, np.concatenate([pixels, pixels[..., :1]], -1), photometric="minisblack", **options)
        return file.getvalue()

    def array(image: Image.Image) -> bytes:
        file = BytesIO()
        np.save(file, np.asarray(image))
        return file.getvalue()

    def deep(image: Image.Image) -> bytes:
        file = BytesIO()
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(file, "PNG")
        return file.getvalue()

    made = {ending: pillow(kind) for kind, endings in FORMATS.items() for ending in endings if kind != "PPM"}
    return made | {
        ".ppm": pillow("PPM"),
        ".pgm": lambda image: pillow("PPM")(image.convert("L")),
        ".pbm": lambda image: pillow("PPM")(image.convert("1")),
        "0.png": deep,
        "1.png": lambda image: pillow("PNG")(image.quantize(16)),
        "0.jpg": lambda image: pillow("JPEG", progressive=True)(image.convert("CMYK")),
        "0.gif": lambda image: pillow("GIF", save_all=True, append_images=[image.rotate(90)])(image),
        "0.tif": bands,
        "1.tif": lambda image: bands(image, compression="zlib", predictor=True),
        "2.tif": pillow("TIFF", compression="tiff_lzw"),
        "0.npy": array,
    }


def flipped(file: bytes, _: bytes, chance: random.Random) -> bytes:
    """Some bytes are others, at the beginning more often than elsewhere."""
    content = bytearray(file)
    for _byte in range(chance.choice((1, 4, 32))):
        end = min(len(content), 64) if chance.random() < 0.5 else len(content)
        content[chance.randrange(end)] = chance.randrange(256)
    return bytes(content)


def cut(file: bytes, _: bytes, chance: random.Random) -> bytes:
    """The end is missing."""
    return file[: chance.randrange(len(file))]


def spliced(file: bytes, other: bytes, chance: random.Random) -> bytes:
    """The beginning of one file and the end of another."""
    return file[: chance.randrange(len(file))] + other[chance.randrange(len(other)) :]


def repeated(file: bytes, _: bytes, chance: random.Random) -> bytes:
    """A part comes twice, or not at all."""
    start, end = sorted(chance.randrange(len(file)) for _ in range(2))
    return file[:end] + file[start:] if chance.random() < 0.5 else file[:start] + file[end:]


def resized(file: bytes, _: bytes, chance: random.Random) -> bytes:
    """Numbers of two or four bytes near the beginning, some of which are sizes, are large, zero or one."""
    content = bytearray(file)
    for _number in range(chance.choice((1, 2))):
        form = chance.choice(("<H", ">H", "<I", ">I"))
        width = struct.calcsize(form)
        value = chance.choice((0, 1, 255, 4096, 13_300, 65_535, (1 << 8 * width) - 1))
        if len(content) > width:
            place = chance.randrange(min(len(content) - width, 200))
            struct.pack_into(form, content, place, value)
    return bytes(content)


MUTATIONS = {"flipped": flipped, "cut": cut, "spliced": spliced, "repeated": repeated, "resized": resized}


def make(images: Path, out: Path, count: int, seed: int) -> list[Path]:
    """So many mutated files of the images in a folder."""
    sources = sorted(path for path in files_under(images) if is_image(path))
    chance, kinds = random.Random(seed), encoders()
    for name in ("a", "b"):  # two classes, so that they can be evaluated
        (out / name).mkdir(parents=True)
    made = []
    for number in range(count):
        kind = chance.choice(sorted(kinds))
        files = []
        for path in chance.choices(sources, k=2):
            with Image.open(path, formats=tuple(FORMATS)) as opened:
                opened.thumbnail((SIDE, SIDE))
                image = opened.convert("RGB")
            files.append(kinds[chance.choice(sorted(kinds)) if files else kind](image))
        mutation = chance.choice(sorted(MUTATIONS))
        ending = "." + kind.split(".")[1]
        if chance.random() < 0.1:
            mutation, ending = f"{mutation}, renamed", "." + chance.choice(sorted(kinds)).split(".")[1]
        if ending == ".npy":  # no image where there are others
            ending = ".png"
        path = out / "ab"[number % 2] / f"{number:05}-{mutation.replace(', ', '-')}-{kind.replace('.', '')}{ending}"
        path.write_bytes(MUTATIONS[mutation.split(",")[0]](files[0], files[1], chance))
        made.append(path)
    return made


def tried(files: list[Path], most: int) -> dict[str, str]:
    """What is wrong with how files are decoded, by their names; nothing of those that are survived.

    A process of its own decodes them one after the other; after one that ends it comes another process.
    """
    wrong: dict[str, str] = {}
    left = files
    while left:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            for path in left:
                os.write(writing, (json.dumps(decoded(path, most)) + "\n").encode())
            os._exit(0)
        os.close(writing)
        with open(reading) as answers:
            said = [json.loads(line) for line in answers]
        wrong |= {path.name: reason for path, reason in zip(left, said) if reason}
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            wrong[left[len(said)].name] = f"exit code {code}"
        left = left[len(said) + bool(code) :]
    return wrong


def decoded(path: Path, most: int) -> str:
    """What is wrong with how one file is decoded, empty if nothing is."""
    signal.alarm(SECONDS)  # which ends the process
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        decode(bounds.read_file(path))
    except Unreadable:
        pass
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    return f"{grown // MIB} MiB of memory" if grown > most else ""


def commanded(words: Iterable[object], codes: tuple[int, ...], most: int) -> tuple[str, int, int]:
    """What is wrong with a command, empty if nothing is; its exit code; the most memory that it had, in bytes.

    The memory is that of one process of the command's.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "twofold", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr
    said = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    memory = usage.ru_maxrss << 10
    if process.returncode not in codes or "Traceback" in said:
        return f"exit code {process.returncode}: {said.strip().splitlines()[-1:]}", process.returncode, memory
    return (f"{memory // MIB} MiB of memory" if memory > most else ""), process.returncode, memory


def commands(folder: Path, out: Path) -> dict[str, tuple[list[object], tuple[int, ...]]]:
    """The commands that get a folder of mutated files, each with the exit codes that are documented for it.

    In memory all images are padded to the largest one, which may be more than the machine has: exit code 2.
    """
    run, streamed = out / "resident", out / "streamed"
    return {
        "scan": (["scan", folder], (0, 1)),
        "pretrain, streamed": (
            ["pretrain", folder, *TRAINING, "--resident", "no", "--workers", "2", "--out", streamed],
            (0,),
        ),
        "embed": (["embed", streamed, folder, "--out", out / "vectors.parquet"], (0,)),
        "evaluate": (["evaluate", streamed, folder, "--protocols", "knn"], (0, 2)),
        "pretrain, in memory": (["pretrain", folder, *TRAINING, "--resident", "yes", "--out", run], (0, 2)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder of real images")
    parser.add_argument("out", type=Path, help="a folder for the mutated files and what the commands write")
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=2048, help="MiB that a file, or a process of a command, may take")
    parser.add_argument("--result", type=Path, help="a JSON file for the table")
    o = parser.parse_args()
    if (o.out / "mutated").exists():
        parser.error(f"{o.out / 'mutated'} is there already")
    folder, most = o.out / "mutated", o.memory * MIB
    files = make(o.images, folder, o.files, o.seed)
    rows: dict[str, dict[str, Any]] = {}
    wrong = tried(files, most)
    rows["decode"] = {"tried": len(files), "survived": len(files) - len(wrong), "wrong": wrong}
    for name in MUTATIONS:
        of = [path for path in files if f"-{name}-" in path.name]
        rows[f"  {name}"] = {"tried": len(of), "survived": sum(path.name not in wrong for path in of), "wrong": {}}
    for name, (words, codes) in commands(folder, o.out).items():
        reason, _, memory = commanded(words, codes, most)
        rows[name] = {"tried": len(files), "survived": 0 if reason else len(files), "wrong": {name: reason}}
        rows[name]["memory"] = memory // MIB
    print(f"twofold {VERSION}, {len(files)} files of seed {o.seed}, at most {o.memory} MiB\n")
    print("| through | tried | survived | peak MiB |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['tried']} | {row['survived']} | {row.get('memory', '')} |")
    for name, reason in Counter((name, r) for row in rows.values() for name, r in row["wrong"].items() if r):
        print(f"{name}: {reason}")
    if o.result:
        about = {"version": VERSION, "seed": o.seed, "files": o.files, "memory_mib": o.memory}
        o.result.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
