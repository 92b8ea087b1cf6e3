"""Run by test_dist.py, alone or under torchrun: steps of every method on one global batch, in float64.

    python tests/dist_driver.py DIRECTORY

Writes DIRECTORY/WORLD.pt: for every method the loss and the gradients of its first step, through the method itself, and
the losses of a short run, through `pretrain`.
"""

import sys
from pathlib import Path

import torch

import twofold.api
from twofold import dist, methods, recipe
from twofold.log import read_metrics
from twofold.methods.base import Batch
from twofold.nets.backbone import fit
from twofold.run import build_method

# Nothing with batch norm, whose statistics are each process's own.
PLAIN = dict(backbone="test_vit", precision="fp64", projector=(32, 16), projector_norm="layer", size=16)
OWN = {"byol": {"predictor": (32, 16)}}


def first_step(name):
    settings = recipe.make(name, **PLAIN, **OWN.get(name, {}))
    spec, _ = fit(settings.backbone, settings.backbone_arguments, "auto", 16)
    method = build_method(settings, spec).double().train()
    random = torch.Generator().manual_seed(0)
    views = [torch.rand(12, 3, 16, 16, generator=random, dtype=torch.float64) for _ in "xy"]
    mine = 12 // dist.world()
    rows = slice(dist.rank() * mine, (dist.rank() + 1) * mine)
    loss = sum(method(Batch(tuple(v[rows] for v in views), torch.arange(12)[rows]), 0.0).terms.values())
    loss.backward()
    dist.sum_gradients(method.parameters())
    return {"loss": loss.item(), "gradients": {k: p.grad for k, p in method.named_parameters() if p.grad is not None}}


def main(root):
    torch.set_num_threads(1)
    found = {}
    with dist.processes(torch.device("cpu")):
        for name in methods.TABLE:
            found[name] = first_step(name)
            out = root / f"{name}-{dist.world()}"
            settings = dict(limit=48, batch=24, epochs=3, accumulate=2, knn_every=-1, device="cpu", clip=1.0)
            twofold.api.pretrain("digits", method=name, out=out, quiet=True, **settings, **PLAIN, **OWN.get(name, {}))
            found[name]["run"] = [row["loss"] for row in read_metrics(out / "metrics.jsonl")]
        if dist.rank() == 0:
            torch.save(found, root / f"{dist.world()}.pt")


main(Path(sys.argv[1]))
