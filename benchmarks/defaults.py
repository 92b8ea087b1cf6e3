"""Do the defaults learn? What `twofold pretrain DATA --method M` comes to, without another option, beside untrained.

    python benchmarks/defaults.py runs/defaults photos=PATH digits=digits --steps 200,1000 --methods simclr,vicreg
    python benchmarks/defaults.py runs/defaults --collect        # benchmarks/results/defaults.json and the table

Each NAME=DATA is a data set with labels: a training part, and a test part or a fifth that is held out. Only what a row
of the table varies is given: the number of steps (as epochs), and, for --size, the images' side. Runs have one thread
each; two run at a time. Goes on where it was stopped. What a cell means: kNN and linear accuracy of the pretrained
backbone minus the untrained one's, in points, and what the doctor found.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

METHODS = "simclr,vicreg,byol,moco,barlow_twins,swav,simsiam,dino,mae"
RESULT = Path(__file__).parent / "results" / "defaults.json"
SCORES = ("knn", "linear")


def run_one(out: Path, data: str, method: str, steps: int, settings: dict[str, Any]) -> None:
    """Pretrain for about so many steps, evaluate, diagnose, write cell.json."""
    import torch

    import twofold
    from twofold.data.opening import open_data
    from twofold.recipe.rules import BATCHES, fitting_batch

    torch.set_num_threads(1)
    images = len(open_data(data).train)
    batch = settings.get("batch_size") or fitting_batch(images, math.ceil(steps * BATCHES[0] / images))
    epochs = max(1, round(steps / max(1, images // batch)))
    began = time.process_time()
    run = twofold.pretrain(data, method=method, epochs=epochs, out=out, quiet=True, workers=0, **settings)
    seconds = time.process_time() - began
    scores = twofold.evaluate(run, protocols=SCORES)["scores"]
    cell = {
        "method": method,
        "images": images,
        "steps": len(run.metrics),
        "seconds": round(seconds),
        "size": run.recipe.image_size,
        "backbone": run.recipe.backbone,
        "precision": run.recipe.precision,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "scores": {name: {who: scores[name][who]["value"] for who in ("untrained", "pretrained")} for name in SCORES},
        "spread": {name: scores[name]["pretrained"]["spread"] for name in SCORES},
        "findings": [finding["name"] for finding in twofold.diagnose(run)["findings"]],
        "versions": {"twofold": twofold.__version__} | {name: version(name) for name in ("torch", "timm")},
    }
    (out / "cell.json").write_text(json.dumps(cell))


def collect(folder: Path) -> None:
    """Put the cells that are there into the file of all, and show these as a table."""
    cells = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/cell.json"))}
    before = json.loads(RESULT.read_text())["cells"] if RESULT.exists() else {}
    RESULT.write_text(json.dumps({"cells": dict(sorted((before | cells).items()))}, indent=1) + "\n")
    print(table(cells))


def table(cells: dict[str, Any]) -> str:
    """A row a cell: both scores, by how many points they are above the untrained backbone's, what the doctor found."""
    lines = [
        "| data, backbone, size | method | images | steps | kNN | over untrained | linear | over untrained | found |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for name, cell in cells.items():
        figures = []
        for score in SCORES:
            before, after = (100 * cell["scores"][score][who] for who in ("untrained", "pretrained"))
            figures += [f"{after:.1f} ± {100 * cell['spread'][score]:.1f}", f"{after - before:+.1f}"]
        about = f"{name.split('-')[0]}, {cell['backbone']}, {cell['size']} px"
        found = ", ".join(cell["findings"]) or "none"
        row = [about, cell["method"], str(cell["images"]), str(cell["steps"]), *figures, found]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="*", metavar="NAME=DATA")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--steps", default="200")
    parser.add_argument("--size", type=int, default=None, help="side of a view in pixels; none: as chosen")
    parser.add_argument("--backbone", default=None, help="none: each method's own")
    parser.add_argument("--batch", type=int, default=None, help="none: as chosen")
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--one", nargs=4, metavar=("NAME", "DATA", "METHOD", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    given = {"image_size": options.size, "backbone": options.backbone, "batch_size": options.batch}
    settings = {name: value for name, value in given.items() if value is not None}
    if options.one:
        name, data, method, steps = options.one
        run_one(options.out / name, data, method, int(steps), settings)
        return
    kind = "".join(f"-{value}" for value in settings.values())
    asked = [
        (f"{name}-{method}-{steps}{kind}", data, method, steps)
        for name, _, data in (text.partition("=") for text in options.data)
        for steps in options.steps.split(",")
        for method in options.methods.split(",")
    ]
    words = [word for key, value in (("size", options.size), ("backbone", options.backbone), ("batch", options.batch))
             if value is not None for word in (f"--{key}", str(value))]  # fmt: skip
    left = [one for one in asked if not (options.out / one[0] / "cell.json").exists()]
    with ThreadPoolExecutor(2) as pool:
        commands = [[sys.executable, __file__, str(options.out), *words, "--one", *one] for one in left]
        list(pool.map(lambda command: subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}), commands))
    if options.collect or asked:
        collect(options.out)


if __name__ == "__main__":
    main()
