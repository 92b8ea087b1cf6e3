"""One run of a comparison: made, measured and diagnosed in a process of its own, or found as it was left."""

import hashlib
import json
import multiprocessing
import os
import resource
import statistics
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from twofold import device as devices
from twofold.data.opening import Data, open_data
from twofold.data.workers import check_may_start, end_with_parent
from twofold.diagnosis.diagnose import diagnose
from twofold.encoding.crops import CROPS
from twofold.encoding.progress import Tell, silent
from twofold.errors import Collapsed, Diverged, Failed, UsageError
from twofold.evaluation.evaluate import evaluate
from twofold.evaluation.verdict import Json
from twofold.nets.recorded import WEIGHTS
from twofold.recipe import recipe
from twofold.recipe.recipe import Wanted
from twofold.run import Run
from twofold.storage import files
from twofold.training.interrupt import Interrupt
from twofold.training.log import progress, terminal
from twofold.training.loop import train

INTERRUPTED = 130
LOOKED_AT = 400
"""images that the doctor measures a run on, fewer than `diagnose` takes by itself, which would cost as much as a short
run of a large network"""
SAFE_PATH = "PYTHONSAFEPATH"
STARTING = "TWOFOLD_STARTING_A_RUN"
"""set in the environment of a run's process until it begins, while Python reads the calling script anew"""
OF_A_RUN = {
    SAFE_PATH: "1",  # the present folder may be a stranger's: no module from it
    STARTING: "1",
    "RANK": None,  # it is one process, whatever launch this one is of; LOCAL_RANK says which GPU it has
    "WORLD_SIZE": None,
}
"""The environment of a run's process, where it differs from this one's; None: not set."""
UNGUARDED = 64
"""exit code of a run's process whose script calls `compare` when it is read"""


@dataclass(frozen=True)
class Shared:
    """What all runs of a comparison have in common.

    ``data``: what a process of its own opens, of which ``limit`` training images are used, 0: all, and ``fingerprint``
    is theirs. ``features``: the folder where features are kept that several runs need, as those of their start.
    """

    data: str | Data
    limit: int
    fingerprint: str
    protocols: str
    features: Path
    quiet: bool

    def opened(self) -> Data:
        """The images that the runs are measured on; those that they learn from are these, or some of them."""
        return open_data(self.data).limited(self.limit)


def result_of(settings: Json, path: Path, shared: Shared) -> Json:
    """What result.json of a run holds, which is made unless it is there.

    ``settings``: with the method.

    Raises:
        UsageError: if what is there was made by another recipe or of other images.
    """
    wanted = recipe.wanted(**settings, out=str(path))
    asked = json.loads(json.dumps(asked_of(wanted, shared)))
    kept = path / "result.json"
    if kept.exists():
        result: Json = files.read_json(kept, f"remove {path} to make the run anew")
        free = {key for key, (declared, _) in recipe.known(wanted.spec).items() if declared.operational} | {"data"}
        before: Json = result.get("asked", {})
        changes = [f"{key}: {before.get(key)} -> {asked.get(key)}" for key in {**before, **asked}
                   if key not in free and before.get(key) != asked.get(key)]  # fmt: skip
        if changes:
            raise UsageError(f"{path} was made with other settings ({'; '.join(changes)}): choose another --out")
        if result.get("protocols") == shared.protocols:
            return result
    apart(settings, path, shared)
    result = files.read_json(kept, f"remove {path} to make the run anew")
    if error := result.get("unusable"):
        kept.unlink()
        raise UsageError(error)
    return result


def asked_of(wanted: Wanted, shared: Shared) -> Json:
    """What decides a run: its settings, its images, and what is in the files that its networks start from."""
    networks = {name: contents(str(wanted.given.get(name) or "")) for name in ("weights", "teacher", "teacher_weights")}
    shown = {"images": shared.fingerprint, "crops": CROPS}
    return wanted.given | shown | {name: found for name, found in networks.items() if found}


def contents(weights: str) -> str:
    """The checksum of a file of weights or of a run's backbone; of what is neither, its name."""
    path = Path(weights)
    file = path / WEIGHTS if path.is_dir() else path
    if not weights or not file.is_file():
        return weights
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def apart(settings: Json, path: Path, shared: Shared) -> None:
    """`carry_out` in a process of its own, so that its peak of memory is its own.

    Raises:
        KeyboardInterrupt: if it was interrupted.
        UsageError: if the script that calls `compare` calls it again when it is only read.
        Failed: if it failed for a reason that is not the method's, or was killed.
    """
    arguments = (settings, path, shared, os.getpid())
    check_may_start("each run of a comparison has one of its own: call compare from the main program")
    process = multiprocessing.get_context("spawn").Process(target=carry_out, args=arguments)
    with Interrupt() as interrupt:
        interrupt.between_steps()  # a signal is passed on to the run, which has a checkpoint to write
        with environment(OF_A_RUN):
            process.start()
        while process.is_alive():
            process.join(0.2)
            if interrupt.asked:
                process.terminate()  # asks it to stop: it writes its checkpoint
                process.join()
    if interrupt.asked or process.exitcode == INTERRUPTED:
        raise KeyboardInterrupt
    if process.exitcode == UNGUARDED:
        raise UsageError(
            "compare starts a process for each run, which reads your script again from its first line: "
            'put what the script does under `if __name__ == "__main__":`'
        )
    if process.exitcode:
        how = f"was killed by signal {-process.exitcode}" if process.exitcode < 0 else "failed"
        raise Failed(f"the run in {path} {how}; give the command again to go on")


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Processes that are started in the block have these variables in their environment; None: they have it not."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def carry_out(settings: Json, path: Path, shared: Shared, parent: int) -> None:
    """Pretrain, evaluate, diagnose, and write result.json when all of it is done. Ends with the process ``parent``."""
    end_with_parent(parent)
    os.environ.pop(STARTING, None)
    wanted = recipe.wanted(**settings, out=str(path))
    result: Json = {"ended": "as it should", "evaluation": {}, "gains": {}, "protocols": shared.protocols}
    result["asked"] = asked_of(wanted, shared)
    try:
        opened = shared.opened()
        own = opened.limited(wanted.get("limit"))
        notes = tuple(note for note in own.notes if note not in opened.notes)  # the comparison has said the others
        try:
            train(wanted, None if shared.quiet else terminal(), replace(own, notes=notes))
        except (Diverged, Collapsed) as error:
            result["ended"] = str(error)
        result["peak_memory_mb"] = max(peak_memory(devices.choose(wanted.get("device"))), peak_before(path))
        devices.return_memory()
        run, saved = Run(path), path / "checkpoint.pt"
        result["seconds"] = round(files.load(saved)["seconds"]) if saved.exists() else None
        result["knn"] = [row["knn"] for row in run.metrics if "knn" in row]
        result["images_per_second"] = round(statistics.median([row["images_per_second"] for row in run.metrics] or [0]))
        with nullcontext(silent) if shared.quiet else progress() as tell:
            if shared.protocols and (path / "backbone.json").exists():
                result |= measures_of(run, opened, shared, wanted.get("device"), tell)
            result["diagnosis"] = diagnose(run, opened, LOOKED_AT, wanted.get("device"), tell)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Failed as error:
        sys.exit(f"twofold: {error}")
    except UsageError as error:
        path.mkdir(parents=True, exist_ok=True)
        result["unusable"] = str(error)
    files.write_json(path / "result.json", result, indent=1)


def measures_of(run: Run, data: Data, shared: Shared, device: str | None, tell: Tell) -> Json:
    """The scores of a run that has ended; of one whose features are no numbers, why there are none."""
    try:
        found = evaluate(run, data, shared.protocols, device, tell, kept_features=shared.features)
    except UsageError as error:  # data and protocols were checked before the first run: others may still be measured
        return {"ended": str(error)}
    return {"evaluation": found["scores"], "gains": found["gains"]}


def peak_before(path: Path) -> int:
    """What a run took in MB when it was made, where its measures are made again; 0 if it is made now."""
    kept = path / "result.json"
    return int(files.read_json(kept, "").get("peak_memory_mb", 0)) if kept.exists() else 0


def peak_memory(on: torch.device) -> int:
    """Of the GPU if there is one, else of this process without its data workers, in MB."""
    if on.type == "cuda":
        return round(torch.cuda.max_memory_allocated(on) / 1e6)
    status = Path("/proc/self/status")  # Linux counts the parent's peak into what getrusage says of a child
    if status.exists():
        return round(int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
