"""What passing the backbone in chunks saves: a step's peak memory and its time, by batch and chunk.

    python benchmarks/chunks.py            # SimCLR, ResNet-18 at 96 pixels; writes benchmarks/results/chunks.json

Memory is the most that forward and backward take on top of images and weights; on a CPU time is that of the processor.
"""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch
from losses import Meter

import twofold
from twofold import device
from twofold.nets.chunks import set_chunk

SIZE = 96
STEPS = ((8, None), (128, None), (128, 16), (64, None), (64, 16))
"""Batches and chunks; the first one warms up."""


def main() -> None:
    on = device.choose()
    torch.set_num_threads(1)
    method = device.place(twofold.create_method("simclr", "resnet18", SIZE), on).train()
    meter, rows = Meter(on), []
    for batch, chunk in STEPS:
        set_chunk(method, chunk)
        random = torch.Generator(on).manual_seed(0)
        views = [torch.randn(batch, 3, SIZE, SIZE, generator=random, device=on) for _ in "xy"]
        for parameter in method.parameters():
            parameter.grad = torch.zeros_like(parameter)

        def loss(*views: torch.Tensor) -> torch.Tensor:
            return method(views, 0.5).loss

        _, seconds, mib = meter.once(loss, views, [])
        rows.append({"batch": batch, "chunk": chunk or batch, "mib": round(mib), "seconds": round(seconds, 1)})
        print(rows[-1], flush=True)
    rows = rows[1:]
    whole = {row["batch"]: row for row in rows if row["chunk"] == row["batch"]}
    for row in rows:
        row["memory_of_whole"] = round(row["mib"] / whole[row["batch"]]["mib"], 2)
        row["time_of_whole"] = round(row["seconds"] / whole[row["batch"]]["seconds"], 2)
    result = {
        "rows": rows,
        "method": "simclr",
        "backbone": f"resnet18, {SIZE} pixels",
        "device": on.type,
        "threads": 1,
        "versions": {m.__name__: m.__version__ for m in (twofold, torch)} | {"python": platform.python_version()},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    file = Path(__file__).parent / "results" / "chunks.json"
    file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
