"""A step of pretraining from images in memory, against the bare step of the same network on tensors that are ready.

    python benchmarks/step.py [--batch 256] [--size 32] [--precision fp32|bf16] [--threads 2] [--device cpu|cuda]

SimCLR. Both do forward, backward and update; twofold's crops, distorts and normalises the images before, and looks at
the loss. They take turns. On the CPU seconds are those of the processor, so that what else the machine does counts
little; a figure is the median of the turns, with the lowest and the highest. On a GPU the row also has the operations
that the bare step's products take, a multiplication and an addition being two, and which share they are of what a
product of bf16 matrices of 8,192 rows and columns reaches there. Adds a row to benchmarks/results/step.json.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

import twofold
from twofold import device
from twofold.data.plan import Plan
from twofold.data.resident import Resident
from twofold.recipe import recipe
from twofold.recipe.rules import SMALL
from twofold.training.optimizer import create_optimizer, set_rates
from twofold.training.prepare import MicroBatches, Preparation
from twofold.training.step import learn

BATCHES = 4
"""of images in memory"""


class Facts:
    """What a recipe's rules ask of the images."""

    interpolation, channels, depth, grey, mirrored_alike = "bicubic", 3, "uint8", False, True
    statistics = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def __init__(self, size: int, precision: str) -> None:
        self.natural_size, self.precision = size, precision

    def fits_in_memory(self, batch_size: int) -> bool:
        return True

    def stem(self, settings: dict) -> str:
        return "small" if self.natural_size <= SMALL else "default"

    def patch_size(self, settings: dict) -> int:
        return 1


def sides(options: argparse.Namespace, on: torch.device) -> dict[str, Callable[[], object]]:
    """One call of each: a step."""
    from twofold.methods.building import backbone_spec, build_method
    from twofold.recipe.resolve import resolve

    images = BATCHES * options.batch
    wanted = recipe.wanted("simclr", batch_size=options.batch, backbone=options.backbone, epochs=100)
    settings = resolve(wanted, images, Facts(options.size, options.precision))[0]
    generator = torch.Generator().manual_seed(0)
    shape = (images, 3, options.size, options.size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    loaded = Resident(pixels, torch.tensor([shape[2:]]).expand(images, 2), on)

    def made() -> tuple:
        method = device.place(build_method(settings, backbone_spec(settings), images), on).train()
        optimizer = create_optimizer(method, settings.optimizer, settings.weight_decay, settings.optimizer_momentum)
        set_rates(optimizer, 0.1, 0.1, 1e-6)
        prepare = Preparation(settings, method, options.batch, on, torch.float32)
        parts = MicroBatches(range(10**6), options.batch, 1)
        return method, optimizer, prepare, loaded.load(Plan(images, options.batch, 0), prepare.views, parts)

    method, optimizer, prepare, crops = made()
    step = dict(accumulate=1, grad_clip=0.0, precision=options.precision, progress=0.5)
    before = []

    def ours() -> None:
        learned = learn(method, optimizer, crops, prepare, **step)
        optimizer.step()
        method.after_step(0.5)
        before.append(learned)
        if len(before) > 1 or not device.overlaps(on):
            assert before.pop(0).loss > 0  # as the journal reads it: on a GPU a step late

    bare_method, bare_optimizer, bare_prepare, bare_crops = made()
    ready = bare_prepare(next(bare_crops))

    def bare() -> None:
        bare_optimizer.zero_grad()
        with device.autocast(on, options.precision):
            loss = bare_method(ready, 0.5).loss
        loss.backward()
        bare_optimizer.step()

    return {"twofold": ours, "bare": bare}


def products_a_second(on: torch.device, side: int = 8192, times: int = 50) -> float:
    """Operations a second of a product of square bf16 matrices of random numbers."""
    left, right = (torch.randn(side, side, device=on, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(10):
        left @ right
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        left @ right
    torch.cuda.synchronize()
    return 2 * side**3 * times / (time.perf_counter() - began)


def on_gpu(
    on: torch.device, bare: Callable[[], object], milliseconds: dict[str, float], batch: int
) -> dict[str, object]:
    """What a row says of a GPU beside the times."""
    with FlopCounterMode(display=False) as counter:
        bare()
    rate = products_a_second(on)
    reached = {side: counter.get_total_flops() / (ms / 1000) / rate for side, ms in milliseconds.items()}
    return {
        "images_a_second": {side: round(1000 * batch / ms) for side, ms in milliseconds.items()},
        "teraflop_of_a_step": round(counter.get_total_flops() / 1e12, 3),
        "bf16_matrix_teraflop_a_second": round(rate / 1e12),
        "share_of_the_matrix_rate": {side: round(share, 3) for side, share in reached.items()},
        "gigabytes_at_most": round(torch.cuda.max_memory_allocated() / 1e9, 1),
        "gpu": torch.cuda.get_device_name(on),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/step.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    on = device.choose(options.device)
    device.reuse_memory()
    clock = time.process_time if on.type == "cpu" else time.perf_counter
    steps = sides(options, on)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.turns + 1):
        for name, step in steps.items():
            began = clock()
            for _ in range(1 if on.type == "cpu" else 20):
                step()
            if on.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first warms up
                times[name].append((clock() - began) / (1 if on.type == "cpu" else 20))
    share = [bare / own for bare, own in zip(times["bare"], times["twofold"], strict=True)]
    spread = [round(f(share), 3) for f in (min, statistics.median, max)]
    threads = f"{options.threads} thread{'s' * (options.threads > 1)}"
    place = f"cpu, {threads}" if on.type == "cpu" else torch.cuda.get_device_name(on)
    name = f"{options.backbone}, {options.size} px, batch {options.batch}, {options.precision}, {place}"
    milliseconds = {side: round(1000 * statistics.median(values), 2) for side, values in times.items()}
    row = {
        "share_of_the_bare_steps_speed": spread,
        "milliseconds": milliseconds,
        **(on_gpu(on, steps["bare"], milliseconds, options.batch) if on.type == "cuda" else {}),
        "recipe": {"method": "simclr", **vars(options), "out": None},
        "versions": {m.__name__: m.__version__ for m in (twofold, torch, timm)} | {"python": platform.python_version()},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(known | {name: row}, indent=2) + "\n")
    print(f"{name}: {spread[1]} of the bare step's speed ({spread[0]} to {spread[2]}), {milliseconds} ms")
    if on.type == "cuda":
        print({key: row[key] for key in ("images_a_second", "share_of_the_matrix_rate", "gigabytes_at_most")})


if __name__ == "__main__":
    main()
