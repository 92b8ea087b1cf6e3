"""Augmentation by operation: twofold's on a whole batch, torchvision's image by image, and kornia's if it is installed.

    python benchmarks/operations.py [--size 32 --batch 256] [--threads 1]

Every image gets its own random strength, drawn within the time measured, with SimCLR's ranges. torchvision's take
uint8, as its documentation advises, twofold's and kornia's float32, as each is used in training; the crop is from
uint8 for the first two. Mirroring is part of twofold's crop and costs nothing more. In turns, in seconds of the
processor; a figure is the median of the turns. Adds to benchmarks/results/operations.json.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import torch
import torchvision
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

import twofold
from twofold.augment import color, resample
from twofold.augment.pipeline import blur_window, pipelines
from twofold.data.crop import Cutter, stacked
from twofold.data.decode import Scaled
from twofold.device import reuse_memory
from twofold.nets.backbone import SMALL
from twofold.recipe import recipe
from twofold.rng import Streams

Batch = Callable[[Tensor, Tensor], object]
"""A call on images uint8 [n, 3, s, s] and on the same ones as floats from 0 to 1."""
BRIGHTNESS, CONTRAST, SATURATION, HUE, SIGMA = 0.8, 0.8, 0.8, 0.2, (0.1, 2.0)


def ours(size: int) -> dict[str, Batch]:
    """Each operation as a step of pretraining calls it."""
    augment = recipe.Augment(
        brightness=BRIGHTNESS, contrast=CONTRAST, saturation=SATURATION, hue=HUE, jitter=1.0, blur=(1.0, 1.0),
        blur_sigma=SIGMA, grayscale=1.0, solarize=(1.0, 1.0), flip=0.5,
    )  # fmt: skip
    every = pipelines(augment, size)[0]

    def only(**chosen: object) -> Batch:
        nothing = dict(jitter=0.0, blur=(0.0, 0.0), grayscale=0.0, solarize=(0.0, 0.0))
        view = pipelines(recipe.Augment(**{**vars(augment), **nothing, **chosen}), size)[0]
        return lambda _, x: view.distort(x.clone(), view.draw(Streams(0), len(x)))

    def crop(images: Tensor, _: Tensor) -> Tensor:
        draws = every.draw(Streams(0), len(images))
        if size > SMALL:  # as a CPU cuts large images
            cutter = Cutter(every, draws)
            for row, image in enumerate(images):
                cutter.cut(row, Scaled(image.numpy(), size, size))
            return stacked(cutter.crops)
        boxes = every.boxes(draws, torch.tensor([images.shape[2:]]).expand(len(images), 2))
        return resample.resized_crop(images, boxes, draws.flip, size)

    def uniform(n: int, low: float, high: float) -> Tensor:
        return torch.empty(n).uniform_(low, high)

    return {
        "crop, resize, mirror": crop,
        "brightness": lambda _, x: color.adjust_brightness(x, uniform(len(x), 1 - BRIGHTNESS, 1 + BRIGHTNESS)),
        "contrast": lambda _, x: color.adjust_contrast(x, uniform(len(x), 1 - CONTRAST, 1 + CONTRAST)),
        "saturation": lambda _, x: color.adjust_saturation(x, uniform(len(x), 1 - SATURATION, 1 + SATURATION)),
        "hue": lambda _, x: color.adjust_hue(x, uniform(len(x), -HUE, HUE)),
        "colour jitter, all four": only(jitter=1.0),
        "grey": lambda _, x: color.to_grayscale(x, torch.ones(len(x), dtype=torch.bool)),
        "blur": lambda _, x: resample.gaussian_blur(x, uniform(len(x), *SIGMA), blur_window(size)),
        "solarise": lambda _, x: color.solarize(x, torch.ones(len(x), dtype=torch.bool)),
    }


def torchvisions(size: int) -> dict[str, Batch]:
    """The same, an image at a time."""
    operations = {
        "crop, resize, mirror": v2.Compose(
            [
                v2.RandomResizedCrop(size, interpolation=InterpolationMode.BICUBIC, antialias=True),
                v2.RandomHorizontalFlip(),
            ]
        ),
        "brightness": v2.ColorJitter(brightness=BRIGHTNESS),
        "contrast": v2.ColorJitter(contrast=CONTRAST),
        "saturation": v2.ColorJitter(saturation=SATURATION),
        "hue": v2.ColorJitter(hue=HUE),
        "colour jitter, all four": v2.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION, HUE),
        "grey": v2.RandomGrayscale(1.0),
        "blur": v2.GaussianBlur(blur_window(size), SIGMA),
        "solarise": v2.RandomSolarize(128, 1.0),
    }

    def each(operation: Callable[[Tensor], Tensor]) -> Batch:
        return lambda images, _: torch.stack([operation(image) for image in images])

    return {name: each(operation) for name, operation in operations.items()}


def kornias(size: int) -> dict[str, Batch]:
    """The same by kornia's batched augmentations."""
    from kornia import augmentation as k

    window = blur_window(size)
    crop, mirror = k.RandomResizedCrop((size, size), resample="bicubic", p=1.0), k.RandomHorizontalFlip()
    operations = {
        "crop, resize, mirror": lambda x: mirror(crop(x)),
        "brightness": k.ColorJitter(brightness=BRIGHTNESS, p=1.0),
        "contrast": k.ColorJitter(contrast=CONTRAST, p=1.0),
        "saturation": k.ColorJitter(saturation=SATURATION, p=1.0),
        "hue": k.ColorJitter(hue=HUE, p=1.0),
        "colour jitter, all four": k.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION, HUE, p=1.0),
        "grey": k.RandomGrayscale(p=1.0),
        "blur": k.RandomGaussianBlur((window, window), SIGMA, p=1.0),
        "solarise": k.RandomSolarize(0.0, 0.0, p=1.0),
    }

    def whole(operation: Callable[[Tensor], Tensor]) -> Batch:
        return lambda _, x: operation(x)

    return {name: whole(operation) for name, operation in operations.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/operations.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reuse_memory()
    modules = [twofold, torch, torchvision]
    sides = {"twofold": ours(options.size), "torchvision": torchvisions(options.size)}
    if find_spec("kornia"):
        import kornia

        modules.append(kornia)
        sides["kornia"] = kornias(options.size)
    shape = (options.batch, 3, options.size, options.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    floats = images.float() / 255
    rows = {}
    for name in sides["twofold"]:
        times: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(options.turns + 1):
            for side, calls in sides.items():
                began = time.process_time()
                calls[name](images, floats)
                if turn:  # the first warms up
                    times[side].append(time.process_time() - began)
        rows[name] = {side: round(1000 * statistics.median(values), 2) for side, values in times.items()}
        print(f"{name:24}", "  ".join(f"{side} {value:8.2f} ms" for side, value in rows[name].items()), flush=True)
    kind = f"{options.batch} images of {options.size} px, {options.threads} thread{'s' * (options.threads > 1)}"
    found = {
        "milliseconds": rows,
        "versions": {m.__name__: m.__version__ for m in modules} | {"python": platform.python_version()},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(known | {kind: found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
