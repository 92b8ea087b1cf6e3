"""What masking saves: the time of a step of SimCLR on a vision transformer with 0, 50 and 75 % of the patches masked.

    python benchmarks/masking.py                       # ViT-Tiny at 224 pixels; writes benchmarks/results/masking.json

The shares take turns within one run, so what else the machine does hits all alike; the median of the turns counts.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import twofold
from twofold import device
from twofold.augment import Views
from twofold.batch import Batch, Chance
from twofold.training.optimizer import create_optimizer

SHARES = (0.0, 0.5, 0.75)
TURNS = 3
BATCH = 8


def prepared(share: float, on: torch.device, precision: str) -> Any:
    """A function that does one step: views, masks, forward, backward, update."""
    method = twofold.create_method("simclr", "vit_tiny_patch16_224", 224)
    method = device.place(method, on).train()
    optimizer = create_optimizer(method, "adamw", 0.05, 0.9)
    views = Views(224, patch_size=16, mask=(share, share))
    images = [torch.randn(BATCH, 3, 224, 224, device=on) for _ in "xy"]

    def step(number: int) -> None:
        chance = Chance(0, number, BATCH, slice(None), 0, images[0][:0])
        seen = tuple(views.masked(image, i, chance) for i, image in enumerate(images))
        optimizer.zero_grad()
        with device.autocast(on, precision):
            output = method(Batch(seen, torch.arange(BATCH, device=on), chance), 0.5)
        output.loss.backward()
        optimizer.step()
        if on.type == "cuda":
            torch.cuda.synchronize()

    return step


def main() -> None:
    on = device.choose()
    device.reuse_memory()
    precision = device.good_precision(on)
    steps = {share: prepared(share, on, precision) for share in SHARES}
    seconds: dict[float, list[float]] = {share: [] for share in SHARES}
    for turn in range(TURNS + 1):
        for share, step in steps.items():
            began = time.perf_counter()
            step(turn)
            if turn:  # the first warms up
                seconds[share].append(time.perf_counter() - began)
    medians = {share: statistics.median(values) for share, values in seconds.items()}
    rows = [
        {"masked": share, "milliseconds": round(1000 * m, 1), "share_of_unmasked": round(m / medians[0.0], 3)}
        for share, m in medians.items()
    ]
    for row in rows:
        print(row)
    threads = torch.get_num_threads()
    about = {
        "backbone": "ViT-Tiny, 224 pixels, 196 patches",
        "method": "simclr",
        "batch": BATCH,
        "precision": precision,
    }
    file = Path(__file__).parent / "results" / "masking.json"
    file.write_text(json.dumps({"rows": rows, **about, "device": on.type, "threads": threads}, indent=2) + "\n")


if __name__ == "__main__":
    main()
