"""Photographs to two random crops each, as a data worker makes them, and to the central crop of `evaluate` and `embed`.

    python benchmarks/loading.py                      # JPEG files of four sizes, made here from smooth random images
    python benchmarks/loading.py --data photos        # those of a folder of class folders

Both in this process on one thread, in turns, in seconds of the processor, so that what else the machine does counts
little; a figure is the median of the turns, with the lowest and the highest. Beside ours stands torchvision's
ImageFolder with RandomResizedCrop or with Resize and CenterCrop. Both decode an image once and give crops of 224 pixels
as bytes. Writes benchmarks/results/loading.json.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import PIL
import simplejpeg
import torch
import torchvision
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2

import twofold
from twofold.augment import Views
from twofold.data.loader import _CroppedSteps
from twofold.data.opening import open_data
from twofold.data.plan import MicroBatch, Plan
from twofold.data.sources import Subset
from twofold.device import reuse_memory
from twofold.encoding.crops import PHOTO_SHARE, central_crops

SIZE, BATCH = 224, 16
SIZES = ((320, 240), (500, 375), (2048, 1536), (4000, 3000))


def photographs(folder: Path, width: int, height: int, count: int) -> None:
    """JPEG files of smooth shapes with grain, quality 90."""
    (folder / "all").mkdir(parents=True)
    for number in range(count):
        random = np.random.default_rng(number)
        shapes = Image.fromarray(random.integers(0, 256, (height // 16, width // 16, 3), np.uint8))
        large = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
        grained = large + random.integers(-6, 7, large.shape, np.int16)
        Image.fromarray(grained.clip(0, 255).astype(np.uint8)).save(folder / "all" / f"{number:03}.jpg", quality=90)


def random_crops(folder: Path):
    """One call: a batch, as a worker makes it."""
    source = open_data(folder).train
    steps, turn = _CroppedSteps(source, Plan(len(source), BATCH, 0), Views(SIZE)), iter(range(10**6))
    return lambda: steps.made(MicroBatch(next(turn), slice(0, BATCH)))


def their_random_crops(folder: Path):
    """The same by torchvision."""
    crop = v2.RandomResizedCrop(SIZE, (0.08, 1.0), interpolation=InterpolationMode.BICUBIC, antialias=True)
    one = v2.Compose([crop, v2.RandomHorizontalFlip(), v2.PILToTensor()])
    images = ImageFolder(str(folder), transform=lambda image: (one(image), one(image)))
    order = iter(torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).repeat(10**4).tolist())

    def batch():
        pairs = [images[next(order)][0] for _ in range(BATCH)]
        return [torch.stack([pair[view] for pair in pairs]) for view in (0, 1)]

    return batch


def central(folder: Path):
    """One call: the central crops of a batch of images."""
    source = Subset(open_data(folder).train, range(BATCH))
    return lambda: list(central_crops(source, SIZE))


def their_central(folder: Path):
    """The same by torchvision."""
    resize = v2.Resize(round(SIZE / PHOTO_SHARE), interpolation=InterpolationMode.BICUBIC, antialias=True)
    images = ImageFolder(str(folder), transform=v2.Compose([resize, v2.CenterCrop(SIZE), v2.PILToTensor()]))
    return lambda: torch.stack([images[number][0] for number in range(BATCH)])


KINDS = {"two random crops": (random_crops, their_random_crops), "the central crop": (central, their_central)}


def measured(folder: Path, turns: int) -> dict[str, dict[str, list[float]]]:
    """By the kind of crops and the library."""
    return {
        kind: in_turns({"twofold": ours(folder), "torchvision": theirs(folder)}, turns)
        for kind, (ours, theirs) in KINDS.items()
    }


def in_turns(calls, turns: int) -> dict[str, list[float]]:
    """Images a second of the processor: lowest, median, highest."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            began = time.process_time()
            call()
            if turn:  # the first warms up
                found[name].append(BATCH / (time.process_time() - began))
    return {name: [round(f(rates), 1) for f in (min, statistics.median, max)] for name, rates in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loading.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    reuse_memory()
    rows = {}
    if options.data:
        rows[options.data.name] = measured(options.data, options.turns)
    else:
        with tempfile.TemporaryDirectory() as folder:
            for width, height in SIZES:
                photographs(Path(folder) / f"{width}", width, height, BATCH)
                rows[f"{width} x {height}"] = measured(Path(folder) / f"{width}", options.turns)
    result = {
        "what": f"crops of {SIZE} pixels of JPEG files, images a second of one core: lowest, median, highest",
        "rows": rows,
        "recipe": {"batch": BATCH, "turns": options.turns, "crop_scale": [0.08, 1.0], "interpolation": "bicubic"},
        "versions": {m.__name__: m.__version__ for m in (twofold, torch, torchvision, PIL, simplejpeg)}
        | {"python": platform.python_version()},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['what']}\n\n{'':14} {'twofold':>24} {'torchvision':>24}   ratio of medians")
    for kind in KINDS:
        print(kind)
        for name, kinds in rows.items():
            row = kinds[kind]
            ratio = row["twofold"][1] / row["torchvision"][1]
            print(f"{name:14} {row['twofold']!s:>24} {row['torchvision']!s:>24} {ratio:8.2f}")


if __name__ == "__main__":
    main()
