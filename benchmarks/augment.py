"""Two SimCLR views of a batch: batched on whole tensors, against torchvision's transforms image by image.

    python benchmarks/augment.py [--size 32] [--batch 256] [--threads 2]

Both from uint8 images in memory to normalised float views, with the same distortions. They take turns, so that a
machine that slows down slows both; the ratio is of medians.
"""

import argparse
import json
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
import torchvision
from torchvision.transforms import InterpolationMode, v2

import twofold
from twofold.augment import Views
from twofold.device import reuse_memory
from twofold.recipe import recipe
from twofold.recipe.declared import spec
from twofold.recipe.settings import declarations

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def ours(images: torch.Tensor, augment: recipe.Augment, size: int):
    """One call: both views of the next step."""
    views = Views(size, mean=MEAN, std=STD, **vars(augment))
    return lambda: views(images)


def theirs(images: torch.Tensor, augment: recipe.Augment, size: int):
    """The same by torchvision, an image at a time."""
    a = augment
    jitter = v2.ColorJitter(a.brightness, a.contrast, a.saturation, a.hue)
    steps = [
        v2.RandomResizedCrop(size, a.crop_scale, a.crop_ratio, InterpolationMode.BICUBIC, antialias=True),
        v2.RandomHorizontalFlip(a.flip),
        v2.RandomApply([jitter], a.jitter),
        v2.RandomGrayscale(a.grayscale),
    ]
    if a.blur[0]:
        window = max(3, int(0.1 * size) | 1)
        steps.append(v2.RandomApply([v2.GaussianBlur(window, a.blur_sigma)], a.blur[0]))
    transform = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    return lambda: [torch.stack([transform(image) for image in images]) for _ in "xy"]


def timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blur", type=float, default=0.0)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/augment.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reuse_memory()
    own = {name: value for name, value in spec("simclr").recipe.items() if name in declarations(recipe.Augment)}
    augment = recipe.Augment(**{**own, "blur": (options.blur, options.blur)})
    generator = torch.Generator().manual_seed(0)
    shape = (options.batch, 3, options.size, options.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    batched, single = ours(images, augment, options.size), theirs(images, augment, options.size)
    for _ in range(3):
        batched()
    times: dict[str, list[float]] = {"twofold": [], "torchvision": []}
    for _ in range(options.turns):
        times["twofold"] += [timed(batched) for _ in range(5)]
        times["torchvision"].append(timed(single))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["torchvision"] / medians["twofold"]
    result = {
        "what": f"two SimCLR views of {options.batch} images at {options.size} px, {options.threads} threads",
        "milliseconds": {name: round(1000 * value, 1) for name, value in medians.items()},
        "times_as_fast": round(ratio, 1),
        "augmentation": vars(augment),
        "recipe_of": spec("simclr").title,
        "versions": {m.__name__: m.__version__ for m in (twofold, torch, torchvision)}
        | {"python": platform.python_version()},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['what']}\n")
    for name, value in result["milliseconds"].items():
        print(f"{name:12} {value:8.1f} ms")
    print(f"{'':12} {ratio:8.1f} times as fast")


if __name__ == "__main__":
    main()
