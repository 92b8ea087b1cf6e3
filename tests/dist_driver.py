"""Run by test_dist.py, alone or under torchrun: steps of every method on one global batch, in float64.

    python tests/dist_driver.py DIRECTORY

Writes DIRECTORY/WORLD.pt: for every method the loss and the gradients of its first step, through the method itself, and
the losses of a short run, through `pretrain`.
"""

import sys
from pathlib import Path

import torch

from tests.conftest import OWN, batch_of, resolved
from twofold import dist
from twofold.metrics import read_metrics
from twofold.recipe.declared import methods
from twofold.run import backbone_spec, build_method

# Nothing with batch norm, whose statistics are each process's own.
PLAIN = dict(backbone="test_vit", precision="fp64", projector=(32, 16), projector_norm="layer", image_size=16)
SIZE = {"pirl": 24, "jigsaw": 24}
HEADLESS = ("projector", "projector_norm")
NONE = {"pirl": ("projector_norm",), "data2vec": HEADLESS, "mae": HEADLESS, "denoising": HEADLESS}


def settings_of(name):
    """Small, in float64, without batch norm; masked where the backbone and the method can take it."""
    share = (0.5, 0.0) if name == "rotation" else (0.5, 0.25)  # rotation has one view
    masked = {} if name in ("pirl", "jigsaw", "denoising", "mae", "data2vec") else {"mask": share}
    wanted = {**OWN.get(name, {}), **PLAIN, **masked, "image_size": SIZE.get(name, 16)}
    wanted.pop("backbone_arguments", None)
    return {key: value for key, value in wanted.items() if key not in NONE.get(name, ()) and value is not None}


def first_step(name):
    wanted = resolved(name, images=48, **settings_of(name))
    method = build_method(wanted, backbone_spec(wanted), 48).double().train()
    random = torch.Generator().manual_seed(0)
    views = [
        torch.randn(12, 3, wanted.image_size, wanted.image_size, generator=random, dtype=torch.float64) for _ in "xy"
    ]
    mine = 12 // dist.world()
    rows = slice(dist.rank() * mine, (dist.rank() + 1) * mine)
    method(batch_of(method, wanted, views, rows), 0.5)  # what is remembered of one batch serves the next
    loss = sum(method(batch_of(method, wanted, views[::-1], rows), 0.5).terms.values())
    loss.backward()
    dist.average_gradients(method.parameters())
    found = {"loss": loss.item(), "gradients": {k: p.grad for k, p in method.named_parameters() if p.grad is not None}}
    return found | {"buffers": dict(method.named_buffers())}


def main(root):
    torch.set_num_threads(1)
    found = {}
    with dist.processes(torch.device("cpu")):
        for name in methods():
            found[name] = first_step(name)
            out = root / f"{name}-{dist.world()}"
            settings = dict(limit=48, batch_size=24, epochs=3, accumulate=2, knn_every=0, device="cpu", grad_clip=1.0)
            twofold.api.pretrain("digits", method=name, out=out, quiet=True, **settings, **settings_of(name))
            found[name]["run"] = [row["loss"] for row in read_metrics(out / "metrics.jsonl")]
        if dist.rank() == 0:
            torch.save(found, root / f"{dist.world()}.pt")


main(Path(sys.argv[1]))
