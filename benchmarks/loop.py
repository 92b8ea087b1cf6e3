"""Pretraining from end to end: `twofold pretrain` beside the loop that lightly's documentation shows for SimCLR.

    python benchmarks/loop.py [--photographs] [--precision fp32|bf16]       # with lightly installed, for example 1.6

ResNet-18 as for ImageNet, an MLP of 512 and 128, batches of 256 images of 32 pixels in memory; with ``--photographs``
views of 224 pixels of JPEG files, 500 x 375, in batches of 64. Both take two crops and distort their colours as SimCLR
does, lightly by its SimCLRTransform (its documentation leaves the blur out at 32 pixels, so both do), in as many data
workers as there are cores. lightly's loop is in fp32, as shown; ``--precision`` is twofold's.

Each run is a process of its own, in turns; its time is that of the processor, all its workers with it, so that what
else the machine does counts little. A long run less a short one is what the steps between cost, without the start.
twofold's looks at the embeddings, one in 200 steps of a long run, are left out. A figure is the median of the turns,
with the lowest and the highest. Adds a row to benchmarks/results/loop.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from loading import photographs
from PIL import Image
from torch import nn

import twofold

SIDES = ("twofold", "lightly")
SMALL, LARGE = (32, 256), (224, 64)
"""Pixels of a view's side, and images of a batch."""


def ours(data: Path, size: int, batch: int, precision: str) -> None:
    """One epoch of twofold's own command."""
    twofold.pretrain(
        data, method="simclr", backbone="resnet18", stem="default", projector=[512, 128], image_size=size, epochs=1,
        blur=[0.0, 0.0] if size == SMALL[0] else [0.5, 0.5], batch_size=batch, precision=precision, warmup_epochs=0,
        measure_every=10**6, knn_every=0, out=data.parent / f"run-{data.stem}-{os.getpid()}", device="cpu", quiet=True,
    )  # fmt: skip


def theirs(data: Path, size: int, batch: int) -> None:
    """One epoch of lightly's example."""
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    class InMemory(torch.utils.data.Dataset):
        """Images as torchvision's CIFAR10 gives them."""

        def __init__(self, transform=None):
            self.images, self.transform = np.load(data), transform

        def __len__(self):
            return len(self.images)

        def __getitem__(self, number):
            image = Image.fromarray(self.images[number].transpose(1, 2, 0))
            return (image if self.transform is None else self.transform(image)), 0

    if size == SMALL[0]:
        transform = SimCLRTransform(input_size=size, gaussian_blur=0.0)
        dataset = LightlyDataset.from_torch_dataset(InMemory(), transform=transform)
    else:
        dataset = LightlyDataset(str(data), transform=SimCLRTransform(input_size=size))
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=True, drop_last=True, num_workers=os.cpu_count() or 1
    )
    network = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
    head, criterion = SimCLRProjectionHead(512, 512, 128), NTXentLoss()
    optimizer = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.06)
    for views, *_ in loader:
        first, second = (head(network(view).flatten(1)) for view in views)
        loss = criterion(first, second)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def made(folder: Path, images: int, size: int) -> Path:
    """So many images: an array in a file, or JPEG files."""
    if size == LARGE[0]:
        path = folder / f"photographs-{images}"
        photographs(path, 500, 375, images)
        return path
    path = folder / f"images-{images}.npy"
    random = np.random.default_rng(0)
    shapes = torch.from_numpy(random.random((images, 3, 8, 8), np.float32))
    pixels = nn.functional.interpolate(shapes, size=(size, size), mode="bicubic").clamp(0, 1)
    np.save(path, (pixels * 255).byte().numpy())
    return path


def seconds(side: str, data: Path, options: argparse.Namespace) -> float:
    """Of the processor, for one run in a process of its own."""
    own = [sys.executable, __file__, "--side", side, "--data", str(data), "--precision", options.precision]
    own += ["--photographs"] if options.photographs else []
    before = os.times()
    subprocess.run(own, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", action="store_true")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, nargs=2, default=(2, 10), help="of the short and of the long run")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loop.json"))
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size, batch = LARGE if options.photographs else SMALL
    if options.side:
        torch.set_num_threads(1)
        ours(options.data, size, batch, options.precision) if options.side == "twofold" else theirs(
            options.data, size, batch
        )
        return
    import lightly

    cost: dict[str, list[float]] = {side: [] for side in SIDES}
    between = (options.steps[1] - options.steps[0]) * batch
    with tempfile.TemporaryDirectory() as folder:
        short, long = (made(Path(folder), steps * batch, size) for steps in options.steps)
        for _ in range(options.turns):
            for side in SIDES:
                cost[side].append((seconds(side, long, options) - seconds(side, short, options)) / between)
    ratios = [theirs / ours for ours, theirs in zip(cost["twofold"], cost["lightly"], strict=True)]
    row = {
        "times_lightlys_speed": [round(f(ratios), 2) for f in (min, statistics.median, max)],
        "images_per_second_of_a_core": {
            side: [round(1 / f(values), 1) for f in (max, statistics.median, min)] for side, values in cost.items()
        },
        "recipe": {"size": size, "batch": batch, "precision": options.precision, "steps": list(options.steps)}
        | {"turns": options.turns, "backbone": "resnet18", "projector": [512, 128]},
        "versions": {m.__name__: m.__version__ for m in (twofold, lightly, torch, torchvision, timm)}
        | {"python": platform.python_version()},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    source = "photographs, 224 px" if options.photographs else "in memory, 32 px"
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(known | {f"{source}, {options.precision}": row}, indent=2) + "\n")
    print(f"{source}, {options.precision}: {row['times_lightlys_speed']} times lightly's speed")
    print(f"images a second of a core: {row['images_per_second_of_a_core']}")


if __name__ == "__main__":
    main()
