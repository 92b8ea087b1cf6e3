"""Shows that nothing is lost, nothing is silent and no one is let in: the table of docs/reliability.md.

    python benchmarks/reliability.py runs/reliability [PHOTOS] [--stages mutated moco others memory bits strangers]

Without PHOTOS, a folder of images, scikit-learn's scanned digits stand in for them. What is done is kept in OUT, in a
file for each stage, so that the command goes on where it was stopped. The figures of all stages that are done are
written to benchmarks/results/reliability.json. Networks and images are tiny: a stage takes minutes of one idle core.

mutated    mutated image files through the readers and the commands (benchmarks/mutate.py says how they are made)
moco, pirl, swav, dino: one run of each is killed by SIGKILL again and again, at moments drawn from a seed, and goes
           on; it must end as one left alone
others     a run of every other method is killed once
memory     the resident set of a streamed run and of its data workers over its epochs
bits       checkpoints with one flipped bit, from which a run goes on
strangers  pages of images, runs and comparisons whose every text is HTML with a script, in headless Chromium
"""

import argparse
import datetime
import json
import os
import platform
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # the tests' tiny settings and their ways to kill are used here too

import mutate  # noqa: E402
import pages  # noqa: E402
from streaming import grown  # noqa: E402

import twofold  # noqa: E402
from tests.conftest import tiny  # noqa: E402
from tests.killing import KILLED, at_call, die, in_a_child  # noqa: E402
from tests.training.making import assert_identical  # noqa: E402
from twofold.errors import UsageError  # noqa: E402
from twofold.recipe.declared import methods  # noqa: E402
from twofold.recipe.version import VERSION  # noqa: E402
from twofold.storage import files, metrics  # noqa: E402
from twofold.storage.metrics import read_metrics  # noqa: E402
from twofold.training import checkpoint  # noqa: E402

Row = dict[str, Any]
"""How many were ``tried``, how many ``survived``, in words what else was seen (``note``), and what was ``wrong``."""
Stage = Callable[[Path, Path, "Kept"], dict[str, Row]]
"""Makes rows in a folder, of photographs in another one, and keeps what is done."""

RESULT = ROOT / "benchmarks" / "results" / "reliability.json"
SEED = 0
MUTATED = 2000
MEMORY = 4096
"""MiB that a process may take for mutated files: a GiB for libraries, and for each of two cores a picture of 256 MiB,
which takes a few times as much while it is decoded."""
PICTURES, SIDE = 200, 96
"""Images that stand in for photographs, and their side in pixels."""
OFTEN = ("moco", "pirl", "swav", "dino")
"""Methods whose one run is killed `KILLS` times: those with a queue, a bank, prototypes, a center and encoders."""
KILLS = 50
LONG = dict(epochs=50, save_every=2, knn_every=25)
"""200 steps, so that a run that goes on at most some steps at a time is killed so often before it ends."""
SHORT = dict(epochs=3, save_every=3)
"""12 steps."""
FLIPPED, GONE_ON = 200, 10
"""Bits that are flipped, and of how many of them with one a run goes on to its end; the others are read."""
STREAMED = dict(dino=dict(resident=False, workers=1))
"""The run of one of the methods reads its images in a worker process."""


class Kept:
    """Results by name in a JSON file, each written as soon as it is there, so that no work is done twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """The kept result of that name, or what ``work`` gives, which is then kept."""
        if name not in self.rows:
            self.rows[name] = work()
            files.write_text(self.path, json.dumps(self.rows, indent=1) + "\n")
        return self.rows[name]


def summed(found: dict[str, str], note: str = "") -> Row:
    """The row of things that were tried, each with what is wrong with it; empty for one that was survived."""
    wrong = {name: reason for name, reason in found.items() if reason}
    return {"tried": len(found), "survived": len(found) - len(wrong), "note": note, "wrong": wrong}


# -- mutated files ----------------------------------------------------------------------------------------------------


def stage_mutated(out: Path, photos: Path, kept: Kept) -> dict[str, Row]:
    folder = out / "mutated"

    def made() -> int:
        shutil.rmtree(folder, ignore_errors=True)
        return len(mutate.make(photos, folder, MUTATED, SEED))

    def decoded() -> Row:
        wrong = mutate.tried(sorted(folder.rglob("*.*")), MEMORY * mutate.MIB)
        return {"tried": MUTATED, "survived": MUTATED - len(wrong), "note": "", "wrong": wrong}

    def through(words: list[object], codes: tuple[int, ...]) -> Row:
        reason, code, memory = mutate.commanded(words, codes, MEMORY * mutate.MIB)
        note = f"exit code {code}, at most {memory // mutate.MIB:,} MiB"
        return {"tried": MUTATED, "survived": 0 if reason else MUTATED, "note": note, "wrong": {"": reason}}

    kept.once("files", made)
    if "embed" not in kept.rows:  # which would find that it has been done
        (out / "vectors.parquet").unlink(missing_ok=True)
    rows = {"mutated files, decoded": kept.once("decoded", decoded)}
    for name, (words, codes) in mutate.commands(folder, out).items():
        rows[f"mutated files, {name}"] = kept.once(name, lambda w=words, c=codes: through(w, c))
    return rows


# -- kills ------------------------------------------------------------------------------------------------------------

SAVING = {
    "in the middle of writing a checkpoint": 5,
    "before the last checkpoint is kept": 2,
    "before the rename": 2,
    "after the rename": 2,
}
"""Moments inside the writing of a checkpoint, and how often each is drawn."""


def sabotage(moment: str, number: int, share: float) -> None:
    """Have this process kill itself at a moment of its ``number``-th save, with a ``share`` of the file written."""

    def partly(state: object, file: Any) -> None:
        import io

        whole = io.BytesIO()
        torch.serialization.save(state, whole)
        file.write(whole.getvalue()[: int(whole.tell() * share)])
        file.flush()

    replace, calls = Path.replace, [0]

    def counted(path: Path, target: Path) -> Path:
        calls[0] += Path(target).name == "checkpoint.pt"
        if calls[0] == number and moment == "before the rename":
            die()
        renamed = replace(path, target)
        if calls[0] == number and moment == "after the rename":
            die()
        return renamed

    if moment.startswith("in the middle"):
        at_call(torch, "save", number, partly)
    elif moment.startswith("before the last"):
        at_call(os, "link", number)
    else:
        Path.replace = counted  # type: ignore[method-assign]


def trained(out: Path, settings: dict[str, Any], before: Callable[[], None] = lambda: None) -> int:
    """Pretrain in a process of its own until it ends; its exit code."""

    def work() -> None:
        before()
        twofold.pretrain(out=out, quiet=True, **settings)

    return in_a_child(work)


def killed_from_outside(out: Path, settings: dict[str, Any], lines: int, delay: float) -> int:
    """Pretrain in a process that is killed so many seconds after so many steps, or after its start if these are 0."""
    had = len(read_metrics(out / "metrics.jsonl"))
    child = os.fork()
    if child == 0:
        try:
            twofold.pretrain(out=out, quiet=True, **settings)
        finally:
            os._exit(0)
    done = 0
    while not done and lines and len(read_metrics(out / "metrics.jsonl")) < had + lines:
        time.sleep(0.005)
        done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def kill(out: Path, settings: dict[str, Any], name: str) -> dict[str, Any]:
    """Kill a run, or one that goes on, once, at a moment drawn from a seed."""
    dice = random.Random(name)
    if dice.random() < 0.4:
        moment = dice.choices([*SAVING], [*SAVING.values()])[0]
        number, share = dice.randint(1, 2), dice.random()
        if moment.startswith("before the last") and not (out / "checkpoint.pt").exists():
            number += 1  # there is nothing to keep yet
        code = trained(out, settings, lambda: sabotage(moment, number, share))
    else:
        lines = dice.choice((0, 1, 2, 4, 6))
        delay = dice.uniform(0, 0.05 if lines else 1.0)
        moment = f"from outside, {1000 * delay:.0f} ms after {f'{lines} steps' if lines else 'the start'}"
        code = killed_from_outside(out, settings, lines, delay)
    return {"moment": moment, "code": code, "steps": len(read_metrics(out / "metrics.jsonl"))}


def unlike(path: Path, straight: Path) -> str:
    """What tells a run from one that was left alone; nothing if they are the same to the bit."""
    clocks = ("images_per_second", "waiting")
    rows = [
        [{key: value for key, value in row.items() if key not in clocks} for row in read_metrics(run / "metrics.jsonl")]
        for run in (path, straight)
    ]
    if rows[0] != rows[1]:
        return "its metrics are others"
    ours, theirs = ((run / "backbone.safetensors").read_bytes() for run in (path, straight))
    return "" if ours == theirs else "its backbone is another one"


def warmed_up(out: Path) -> None:
    """Have everything imported that a run needs, before processes are forked that each would import it."""
    shutil.rmtree(out, ignore_errors=True)
    twofold.pretrain(out=out, quiet=True, **tiny("simclr", epochs=1))


def ended(path: Path, settings: dict[str, Any], anew: bool = False) -> str:
    """Carry a run out to its end, or go on with it, and say what is wrong with how it ends."""
    if anew:
        shutil.rmtree(path, ignore_errors=True)
    code = trained(path, settings)
    return f"exit code {code}" if code else ""


def kills_of(method: str) -> Stage:
    """The stage in which one run of a method is killed `KILLS` times."""

    def stage(out: Path, _: Path, kept: Kept) -> dict[str, Row]:
        warmed_up(out / "warm-up")
        settings, found = tiny(method, **LONG, **STREAMED.get(method, {})), {}
        straight, killed = out / f"{method}-straight", out / f"{method}-killed"
        wrong = kept.once(f"{method}, left alone", lambda: ended(straight, settings, anew=True))
        for number in range(1, KILLS + 1):
            name = f"{method}, kill {number}"
            found[name] = kept.once(name, lambda n=name: kill(killed, settings, n))
        wrong = wrong or kept.once(f"{method}, resumed", lambda: ended(killed, settings)) or unlike(killed, straight)
        saving = sum(each["moment"] in SAVING for each in found.values())
        row = summed({name: wrong or ("" if each["code"] == KILLED else "not killed") for name, each in found.items()})
        streamed = ", streamed" if method in STREAMED else ""
        return {f"kills of one run, {method}{streamed}": row | {"note": f"{saving} while a checkpoint was written"}}

    return stage


def stage_others(out: Path, _: Path, kept: Kept) -> dict[str, Row]:
    warmed_up(out / "warm-up")

    def killed_once(method: str) -> str:
        settings, step = tiny(method, **SHORT), random.Random(method).randint(2, 12)
        straight, killed = out / f"{method}-straight", out / f"{method}-killed"
        wrong = ended(straight, settings, anew=True)
        shutil.rmtree(killed, ignore_errors=True)
        if trained(killed, settings, lambda: at_call(metrics.Metrics, "write", step)) != KILLED:
            return "not killed"
        return wrong or ended(killed, settings) or unlike(killed, straight)

    others = [name for name in methods() if name not in OFTEN]
    found = {method: kept.once(method, lambda m=method: killed_once(m)) for method in others}
    return {"one kill of each other method": summed(found, "at a random step of 12")}


# -- memory -----------------------------------------------------------------------------------------------------------


def stage_memory(out: Path, photos: Path, kept: Kept) -> dict[str, Row]:
    found = kept.once("streamed", lambda: grown(photos, out / "streamed", epochs=10, workers=2))
    rows = {}
    for who, (size, slope) in found.items():
        note = f"{size:,.0f} MiB, {slope:+.2f} MiB an epoch"
        flat = slope <= 0.01 * size  # of what grows by a hundredth of itself an epoch nobody would say that it is flat
        wrong = {} if flat else {who: note}
        rows[f"epochs streamed, memory of {who}"] = {
            "tried": 10, "survived": 10 if flat else 0, "note": note, "wrong": wrong,
        }  # fmt: skip
    return rows


# -- bits -------------------------------------------------------------------------------------------------------------


def stage_bits(out: Path, _: Path, kept: Kept) -> dict[str, Row]:
    settings = tiny("simclr", epochs=3, save_every=4)
    warmed_up(out / "warm-up")

    def prepared() -> str:
        for name in ("killed", "straight"):
            shutil.rmtree(out / name, ignore_errors=True)
        code = trained(out / "killed", settings, lambda: at_call(metrics.Metrics, "write", 11))
        return "" if code == KILLED and trained(out / "straight", settings) == 0 else f"exit code {code}"

    def flipped(number: int) -> list[str]:
        """Whether it was named, and what is wrong."""
        run, dice = out / "run", random.Random(f"bit {number}")
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(out / "killed", run)
        content = bytearray((run / "checkpoint.pt").read_bytes())
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        (run / "checkpoint.pt").write_bytes(content)
        if number % GONE_ON == 0:
            code = trained(run, settings)
            said = "checkpoint.pt is damaged" in (run / "log.txt").read_text()
            return ["named" if said else "", f"exit code {code}" if code else unlike(run, out / "straight")]
        said = bool(checkpoint.mend(run))
        expected = files.load(out / "killed" / ("checkpoint.before.pt" if said else "checkpoint.pt"))
        try:
            assert_identical(files.load(run / "checkpoint.pt"), expected, "")
        except (AssertionError, UsageError) as error:
            return ["named" if said else "", f"another state is gone on from: {error}"]
        return ["named" if said else "", ""]

    if wrong := kept.once("prepared", prepared):
        raise SystemExit(f"the run to damage: {wrong}")
    found = {f"bit {number}": kept.once(f"bit {number}", lambda n=number: flipped(n)) for number in range(FLIPPED)}
    named = sum(bool(said) for said, _ in found.values())
    note = f"{named} named, {FLIPPED - named} where nothing reads; every {GONE_ON}th went on to the same backbone"
    return {"flipped bits of a checkpoint": summed({name: wrong for name, (_, wrong) in found.items()}, note)}


# -- strangers --------------------------------------------------------------------------------------------------------


def stage_strangers(out: Path, _: Path, kept: Kept) -> dict[str, Row]:
    made = {name: kept.once(name, lambda w=work, n=name: w(out / n)) for name, work in pages.PAGES.items()}
    return {"pages with strangers' scripts": summed(made, "no script run, nothing asked for")}


# -- all --------------------------------------------------------------------------------------------------------------

STAGES: dict[str, Stage] = {
    "mutated": stage_mutated,
    **{method: kills_of(method) for method in OFTEN},
    "others": stage_others,
    "memory": stage_memory,
    "bits": stage_bits,
    "strangers": stage_strangers,
}


def pictures(folder: Path) -> Path:
    """A folder of scanned digits, enlarged, as files of images."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(load_digits().images[:PICTURES]):
        grey = Image.fromarray(np.rint(pixels * (255 / 16)).astype(np.uint8))
        grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB").save(folder / f"{number}.png")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder for everything that is made and kept")
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of real images; none: scanned digits")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    o = parser.parse_args()
    torch.set_num_threads(1)
    out = o.out.resolve()
    photos = o.photos.resolve() if o.photos else pictures(out / "digits")
    for stage in o.stages:
        folder = out / ("killed" if stage in (*OFTEN, "others") else stage)
        folder.mkdir(parents=True, exist_ok=True)
        rows = STAGES[stage](folder, photos, Kept(folder / "kept.json"))
        files.write_text(out / f"{stage}.json", json.dumps({"version": VERSION, "rows": rows}, indent=1) + "\n")
        for name, row in rows.items():
            print(f"| {name} | {row['tried']:,} | {row['survived']:,} | {row['note']} |", flush=True)
            for what, reason in row["wrong"].items():
                print(f"  {what}: {reason}" if reason else "", flush=True, end="\n" if reason else "")
        write_result(out, photos)


def write_result(out: Path, photos: Path) -> None:
    """Put the figures of all stages that are done where the table is made from."""
    about = {"seed": SEED, "images": photos.name, "date": str(datetime.date.today())}
    about |= {"python": platform.python_version(), "torch": torch.__version__}
    done = {stage: out / f"{stage}.json" for stage in STAGES if (out / f"{stage}.json").exists()}
    stages = {stage: json.loads(path.read_text()) for stage, path in done.items()}
    RESULT.write_text(json.dumps(about | {"stages": stages}, indent=1) + "\n")


if __name__ == "__main__":
    main()
