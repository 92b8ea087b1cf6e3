"""What photographs give in the same epochs: `twofold pretrain` beside lightly's documented loops and lightly-train.

    python benchmarks/peers.py runs/peers photos --epochs 6 --size 96        # with lightly installed, for example 1.6
    python benchmarks/peers.py runs/commands photos --sides twofold,lightly-train --methods simclr --result commands

All learn a ResNet-18 from random weights on the training part of the images, in views of one size, for as many epochs;
the test part, or a fifth that is held out, is what features are scored on. twofold and lightly-train choose everything
else themselves. lightly's loops have its transforms, heads and losses, batches of 256 and SGD at a rate of 0.06, as its
examples do; so do they with batches of twofold's size (``lightly-64``). Each run is a process with one thread, as many
at a time as there are cores. Goes on where it was stopped; `--collect` makes benchmarks/results/peers.json, or the file
that `--result` names, and the table.
"""

import argparse
import copy
import inspect
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

import twofold

SCORES = ("knn", "linear")
RESULTS = Path(__file__).parent / "results"
Step = Callable[[list[Tensor], float], Tensor]


def ours(data: str, method: str, seed: int, out: Path, o: argparse.Namespace) -> dict[str, Any]:
    """twofold's own command, with nothing but the size and the epochs given."""
    run = twofold.pretrain(
        data, method=method, backbone="resnet18", image_size=o.size, epochs=o.epochs, seed=seed,
        out=out / "run", quiet=True, workers=0, device="cpu",
    )  # fmt: skip
    scores = twofold.evaluate(run, protocols=SCORES)["scores"]
    return {"steps": len(run.metrics), "batch": run.recipe.batch_size} | {
        who: {name: scores[name][who]["value"] for name in SCORES} for who in ("untrained", "pretrained")
    }


def their_loop(batch: int, data: str, method: str, seed: int, _: Path, o: argparse.Namespace) -> dict[str, Any]:
    """lightly's example of a method, with batches of that size."""
    from lightly.data import LightlyDataset

    torch.manual_seed(seed)
    network = features_of(torchvision.models.resnet18())
    untrained = scores_of(network, data, o.size)
    transform, heads, step = EXAMPLES[method](network, o.size)
    loader = torch.utils.data.DataLoader(
        LightlyDataset(str(Path(data) / "train"), transform=transform),
        batch_size=batch, shuffle=True, drop_last=True, num_workers=0,
    )  # fmt: skip
    learned = nn.ModuleList([network, *heads])
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.06)
    for epoch in range(o.epochs):
        for views, *_ in loader:
            loss = step(views, epoch / max(1, o.epochs - 1))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    found = {"untrained": untrained, "pretrained": scores_of(network, data, o.size)}
    return {"steps": o.epochs * len(loader), "batch": batch} | found


def their_command(data: str, method: str, seed: int, out: Path, o: argparse.Namespace) -> dict[str, Any]:
    """lightly-train's command, with nothing but the method, the size and the epochs given."""
    import lightly_train

    torch.manual_seed(seed)
    network = torchvision.models.resnet18()
    untrained = scores_of(features_of(network), data, o.size)
    lightly_train.pretrain(
        out=out / "run", data=f"{data}/train", model=network, method=method, epochs=o.epochs, seed=seed,
        overwrite=True, transform_args={"image_size": (o.size, o.size)}, num_workers=0, accelerator="cpu", devices=1,
    )  # fmt: skip
    reached = torch.load(out / "run" / "checkpoints" / "last.ckpt", weights_only=False)["global_step"]
    network.load_state_dict(torch.load(out / "run" / "exported_models" / "exported_last.pt", weights_only=True))
    found = {"untrained": untrained, "pretrained": scores_of(features_of(network), data, o.size)}
    batch = inspect.signature(lightly_train.pretrain).parameters["batch_size"].default
    return {"steps": reached, "batch": batch} | found


def features_of(network: nn.Module) -> nn.Module:
    """One of torchvision's ResNets without its classifier."""
    return nn.Sequential(*list(network.children())[:-1], nn.Flatten())


def scores_of(network: nn.Module, data: str, size: int) -> dict[str, float]:
    scores = twofold.evaluate(copy.deepcopy(network), data, protocols=SCORES, size=size)["scores"]
    return {name: scores[name]["backbone"]["value"] for name in SCORES}


def simclr(network: nn.Module, size: int) -> tuple[Any, Iterable[nn.Module], Step]:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    head, criterion = SimCLRProjectionHead(512, 512, 128), NTXentLoss()
    return (
        SimCLRTransform(input_size=size),
        [head],
        lambda views, _: criterion(head(network(views[0])), head(network(views[1]))),
    )


def vicreg(network: nn.Module, size: int) -> tuple[Any, Iterable[nn.Module], Step]:
    from lightly.loss.vicreg_loss import VICRegLoss
    from lightly.models.modules.heads import VICRegProjectionHead
    from lightly.transforms.vicreg_transform import VICRegTransform

    head, criterion = VICRegProjectionHead(512, 2048, 2048, num_layers=2), VICRegLoss()
    return (
        VICRegTransform(input_size=size),
        [head],
        lambda views, _: criterion(head(network(views[0])), head(network(views[1]))),
    )


def byol(network: nn.Module, size: int) -> tuple[Any, Iterable[nn.Module], Step]:
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
    from lightly.utils.scheduler import cosine_schedule

    head, predictor = BYOLProjectionHead(512, 1024, 256), BYOLPredictionHead(256, 1024, 256)
    criterion = NegativeCosineSimilarity()
    slow, slow_head = copy.deepcopy(network), copy.deepcopy(head)
    deactivate_requires_grad(slow)
    deactivate_requires_grad(slow_head)

    def step(views: list[Tensor], progress: float) -> Tensor:
        momentum = cosine_schedule(round(1000 * progress), 1001, 0.996, 1)
        update_momentum(network, slow, m=momentum)
        update_momentum(head, slow_head, m=momentum)
        predicted = [predictor(head(network(view))) for view in views]
        targets = [slow_head(slow(view)).detach() for view in views]
        return 0.5 * (criterion(predicted[0], targets[1]) + criterion(predicted[1], targets[0]))

    views = BYOLTransform(BYOLView1Transform(input_size=size), BYOLView2Transform(input_size=size))
    return views, [head, predictor], step


EXAMPLES = {"simclr": simclr, "vicreg": vicreg, "byol": byol}
SIDES: dict[str, Callable[[str, str, int, Path, argparse.Namespace], dict[str, Any]]] = {
    "twofold": ours,
    "lightly": partial(their_loop, 256),
    "lightly-64": partial(their_loop, 64),
    "lightly-train": their_command,
}


def table(cells: list[dict[str, Any]]) -> str:
    """A row for each method and side: the mean and deviation over seeds, and the points over the untrained network."""
    lines = [
        "| method | library | batch | steps | kNN | over untrained | linear | over untrained | minutes |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for method, side in dict.fromkeys((cell["method"], cell["side"]) for cell in cells):
        runs = [cell for cell in cells if (cell["method"], cell["side"]) == (method, side)]
        figures = []
        for name in SCORES:
            values = [100 * run["pretrained"][name] for run in runs]
            gains = [value - 100 * run["untrained"][name] for value, run in zip(values, runs, strict=True)]
            for each, sign in ((values, ""), (gains, "+")):
                figures.append(f"{statistics.mean(each):{sign}.1f} ± {statistics.stdev(each) if runs[1:] else 0:.1f}")
        minutes = statistics.mean(run["seconds"] for run in runs) / 60
        library = side.removesuffix("-64")
        row = [method, library, str(runs[0]["batch"]), str(runs[0]["steps"]), *figures, f"{minutes:.1f}"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data")
    parser.add_argument("--methods", default=",".join(EXAMPLES))
    parser.add_argument("--sides", default="twofold,lightly,lightly-64", help="of these and lightly-train")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--result", default="peers", help="name of the file of --collect")
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("METHOD", "SIDE", "SEED"), help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.one:
        method, side, seed = o.one
        out = o.out / "-".join(o.one)
        out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)
        began = time.process_time()
        cell = {"method": method, "side": side, "seed": int(seed), **SIDES[side](o.data, method, int(seed), out, o)}
        cell["seconds"] = round(time.process_time() - began)
        (out / "cell.json").write_text(json.dumps(cell))
        return
    asked = [
        (method, side, str(seed))
        for seed in range(o.seeds)
        for method in o.methods.split(",")
        for side in o.sides.split(",")
    ]
    left = [] if o.collect else [one for one in asked if not (o.out / "-".join(one) / "cell.json").exists()]
    words = [str(o.out), o.data, "--epochs", str(o.epochs), "--size", str(o.size)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        commands = [[sys.executable, __file__, *words, "--one", *one] for one in left]
        list(pool.map(lambda command: subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}), commands))
    cells = [json.loads(path.read_text()) for one in asked if (path := o.out / "-".join(one) / "cell.json").exists()]
    cells.sort(key=lambda cell: (list(EXAMPLES).index(cell["method"]), list(SIDES).index(cell["side"]), cell["seed"]))
    about = {"data": Path(o.data).name, "size": o.size, "epochs": o.epochs, "backbone": "resnet18"}
    used = ["twofold", "torch", "torchvision", "timm"]
    used += sorted({side.removesuffix("-64") for _, side, _ in asked} - {"twofold"})
    about |= {"versions": {name: version(name) for name in used}}
    if o.collect:
        (RESULTS / f"{o.result}.json").write_text(json.dumps({**about, "cells": cells}, indent=1) + "\n")
    print(table(cells))


if __name__ == "__main__":
    main()
