"""A claim carried out over several seeds, and what is kept of that."""

import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from twofold.claims.base import Claim, Measured
from twofold.claims.stage import DIGITS, Stage
from twofold.data.opening import DataLike, name_of
from twofold.encoding.progress import Tell, silent
from twofold.errors import UsageError
from twofold.recipe.version import VERSION
from twofold.storage import files

Result = dict[str, Any]
"""``number``, ``numbers`` (by measure and arm, a value a seed), ``seeds``, ``seconds``, ``recipe``, ``data``, ..."""

STORED = Path(__file__).parent / "stored"
"""Results that come with twofold: STORED/KIND/NUMBER.json."""
KINDS, HERE = ("digits", "photographs"), "here"
"""What claims were measured on: scikit-learn's scanned digits, and 3,000 colour photographs of CIFAR-10."""
TRIED = "tried out"
"""What stands in place of a verdict where there is too little for one."""
LONGER = 4
"""By what ``full`` multiplies the steps of every training."""


def carry_out(
    claim: Claim,
    out: Path,
    *,
    data: DataLike = DIGITS,
    seeds: int = 3,
    full: bool = False,
    steps: int | None = None,
    tell: Tell = silent,
) -> Result:
    """Measure a claim, a seed after the other, and write OUT/NUMBER/results.json.

    Args:
        claim: what is carried out.
        out: the folder for all claims.
        data: labelled images.
        seeds: how many; each has its own first weights, order, distortions and held-out images.
        full: train `LONGER` times as long.
        steps: of every training, whatever the claim asks for.
        tell: told how many seeds are done.

    Raises:
        UsageError: if the claim needs photographs and gets the default digits, or there is no seed or step.
    """
    for what, count in (("seeds", seeds), ("steps", steps)):
        if count is not None and count < 1:
            raise UsageError(f"{what} must be at least 1, not {count}")
    if claim.photographs and isinstance(data, str) and data == DIGITS:
        raise UsageError(f"claim {claim.number} needs colour photographs with labels, which digits are not: --data")
    began, found, stages = time.process_time(), list[Measured](), list[Stage]()
    for seed in range(seeds):
        tell(f"claim {claim.number}, seeds", seed, seeds)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            stages.append(Stage(data, seed, LONGER if full else 1, steps))
            found.append(claim.run(stages[-1]))
    first = stages[0]
    result = {
        "number": claim.number,
        "numbers": {name: {arm: [own[name][arm] for own in found] for arm in found[0][name]} for name in found[0]},
        "seeds": seeds,
        "steps": steps,
        "seconds": round(time.process_time() - began),
        "full": full,
        "data": {
            "name": Path(name_of(data)).name,
            "training": len(first.images),
            "held out": len(first.test_images),
            "size": first.size,
        },
        "recipe": first.trained,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"twofold": VERSION} | {name: version(name) for name in ("torch", "timm", "scikit-learn")},
    }
    folder = folder_of(out, claim.number)
    folder.mkdir(parents=True, exist_ok=True)
    return files.write_json(folder / "results.json", result, indent=1)


def verdict_of(claim: Claim, result: Result) -> str:
    """The verdict of a result; of one seed, or of as many steps as somebody liked, there is none."""
    return TRIED if result.get("steps") or result["seeds"] < 2 else claim.verdict(result["numbers"])


def folder_of(out: Path, number: int) -> Path:
    """Where a claim's files are."""
    return out / f"{number:02}"


def stored(number: int, out: Path | None = None) -> dict[str, Result]:
    """What a claim came to: `HERE`, in OUT, if it was carried out there, and by kind what comes with twofold."""
    places = {HERE: folder_of(out, number) / "results.json"} if out else {}
    places |= {kind: STORED / kind / f"{number:02}.json" for kind in KINDS}
    remedy = "remove it to measure the claim anew"
    return {name: files.read_json(path, remedy, foreign=name != HERE) for name, path in places.items() if path.exists()}
