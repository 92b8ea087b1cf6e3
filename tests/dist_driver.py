"""Run by test_dist.py, alone or under torchrun: steps of every method on one global batch, in float64.

    python -m tests.dist_driver DIRECTORY METHOD,METHOD

Writes DIRECTORY/WORLD.pt: for every method the loss and the gradients of a step, by networks without batch norm and
with it, in a plain loop and, where there are two processes, under DistributedDataParallel, Lightning Fabric and
accelerate; and the losses of a short run of those methods that are named, through `pretrain`, with batch norm.
"""

import sys
import warnings
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

import twofold
from tests.conftest import OWN, batch_of, resolved
from twofold import dist, launch
from twofold.methods.building import backbone_spec, build_method
from twofold.nets.synchronised import synchronise
from twofold.recipe.declared import methods
from twofold.storage.metrics import read_metrics

PLAIN = dict(backbone="test_vit", precision="fp64", projector=(32, 16), projector_norm="layer", image_size=16)
SIZE = {"pirl": 24, "jigsaw": 24}
HEADLESS = ("projector", "projector_norm")
NONE = {"pirl": ("projector_norm",), "data2vec": HEADLESS, "mae": HEADLESS, "denoising": HEADLESS}
NORMED = dict(
    backbone="resnet18",
    backbone_arguments={"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16), "zero_init_last": False},
    precision="fp64",
    projector=(32, 16),
    projector_norm="batch",
)
UNNORMED = ("data2vec", "mae")
"""Methods that need a transformer."""
IMAGES = 64
BATCH = 16


def settings_of(name):
    """Small, in float64, without batch norm; masked where the backbone and the method can take it."""
    share = (0.5, 0.0) if name in ("rotation", "distill") else (0.5, 0.25)  # these have one view
    masked = {} if name in ("pirl", "jigsaw", "denoising", "mae", "data2vec") else {"mask": share}
    wanted = {**OWN.get(name, {}), **PLAIN, **masked, "image_size": SIZE.get(name, 16)}
    wanted.pop("backbone_arguments", None)
    return {key: value for key, value in wanted.items() if key not in NONE.get(name, ()) and value is not None}


def normed_settings_of(name):
    """Small, in float64, with batch norm wherever the method has any."""
    wanted = {**OWN.get(name, {}), **NORMED, "image_size": SIZE.get(name, 16)}
    return {key: value for key, value in wanted.items() if key not in NONE.get(name, ()) and value is not None}


def a_step(name, wrap=lambda method: method, backward=lambda loss: loss.backward(), settings=settings_of, chunk=0):
    """The second of two steps, as what is remembered of one batch serves the next: its loss and gradients."""
    wanted = resolved(name, images=IMAGES, **settings(name), chunk=chunk)
    method = synchronise(build_method(wanted, backbone_spec(wanted), IMAGES).double().train())
    model = wrap(method)
    random = torch.Generator().manual_seed(0)
    size, mine = wanted.image_size, BATCH // dist.world()
    views = [torch.randn(BATCH, 3, size, size, generator=random, dtype=torch.float64) for _ in "xy"]
    rows = slice(dist.rank() * mine, (dist.rank() + 1) * mine)
    for given in (views, views[::-1]):
        method.zero_grad()
        output = model(batch_of(method, wanted, given, rows), progress=0.5)
        backward(output.loss)
    return method, output


def in_a_plain_loop(name, settings=settings_of):
    method, output = a_step(name, settings=settings)
    dist.average_gradients(method.parameters())
    return {"loss": output.loss.item(), "gradients": gradients(method), "buffers": dict(method.named_buffers())}


def under_launchers(name):
    """The gradients that others' loops see."""
    from accelerate import Accelerator
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=dist.world(), strategy="ddp", precision="64-true")
    fabric.launch()
    accelerator = Accelerator(cpu=True)
    return {
        "ddp": gradients(a_step(name, DistributedDataParallel)[0]),
        "ddp in chunks": gradients(a_step(name, DistributedDataParallel, chunk=4)[0]),
        "fabric": gradients(a_step(name, fabric.setup, fabric.backward)[0]),
        "accelerate": gradients(a_step(name, accelerator.prepare, accelerator.backward)[0]),
    }


def gradients(method):
    return {k: p.grad for k, p in method.named_parameters() if p.grad is not None}


def gathering():
    """Every loss that gathers, on this process's rows of one batch: its value, and the gradient of a weight matrix."""
    return {f"{name}, {width} wide": found for width in (6, 16) for name, found in gathering_of(width).items()}


def gathering_of(width):
    """The same of embeddings with fewer dimensions than there are images, or more: losses have a form for either."""
    from twofold import losses

    random = torch.Generator().manual_seed(0)
    x, y, memory = (torch.randn(n, width, generator=random, dtype=torch.float64) for n in (BATCH, BATCH, 5))
    number = torch.arange(BATCH)
    mine = slice(dist.rank() * BATCH // dist.world(), (dist.rank() + 1) * BATCH // dist.world())
    calls = {
        "nt_xent": losses.nt_xent,
        "info_nce": lambda x, y, gather: losses.info_nce(x, y, memory, gather=gather),
        "repulsion": losses.repulsion,
        "repulsion of products": lambda x, y, gather: losses.repulsion(x, y, normalize=False, gather=gather),
        "repulsion and memory": lambda x, y, gather: losses.repulsion(x, y, memory=memory, gather=gather),
        "repulsion from the batch": lambda x, y, gather: losses.repulsion_from(
            x, y, dist.columns(y), (dist.own(number), number), gather=gather
        ),
        "barlow_twins": losses.barlow_twins,
        "vicreg": losses.vicreg,
        "variance": lambda x, y, gather: losses.variance(x, gather=gather),
        "covariance": lambda x, y, gather: losses.covariance(y, gather=gather),
        "swapped_prediction": losses.swapped_prediction,
        "margin_hinge": lambda x, y, gather: losses.margin_hinge(x, y, 6.0, memory, gather=gather),
        "uniformity": lambda x, y, gather: losses.uniformity(x, gather=gather),
        "koleo": lambda x, y, gather: losses.koleo(x, gather=gather),
        "coding_rate": lambda x, y, gather: losses.coding_rate(x, gather=gather),
        "sigreg": lambda x, y, gather: losses.sigreg(x, memory, gather=gather),
    }
    found = {}
    for name, loss in calls.items():
        weight = torch.nn.Parameter(torch.eye(width, dtype=torch.float64) + 0.1)
        value = loss(x[mine] @ weight, y[mine] @ weight, gather=True)
        value.backward()
        dist.average_gradients([weight])
        found[name] = (value.item(), weight.grad)
    return found


def a_run(name, out):
    """The losses of six steps through `pretrain`."""
    wanted = settings_of(name) if name in UNNORMED else normed_settings_of(name)
    settings = dict(limit=IMAGES, batch_size=32, epochs=3, accumulate=2, knn_every=0, device="cpu", grad_clip=1.0)
    twofold.pretrain("digits", method=name, out=out, quiet=True, **settings, **wanted)
    return [row["loss"] for row in read_metrics(out / "metrics.jsonl")]


def main(root, running):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of launchers that would rather have a GPU
    with launch.processes():
        found = {name: in_a_plain_loop(name) for name in methods()}
        normed = {name: in_a_plain_loop(name, normed_settings_of) for name in methods() if name not in UNNORMED}
        if dist.world() == 2:
            found = {name: it | under_launchers(name) for name, it in found.items()}
            of_ddp = a_step("byol", DistributedDataParallel, settings=normed_settings_of)[0]
            normed["byol"]["ddp"] = gradients(of_ddp)
        found["losses"], found["normed"] = gathering(), normed
        for name in running:
            found[name]["run"] = a_run(name, root / f"{name}-{dist.world()}")
        if dist.rank() == 0:
            torch.save(found, root / f"{dist.world()}.pt")


main(Path(sys.argv[1]), sys.argv[2].split(","))
