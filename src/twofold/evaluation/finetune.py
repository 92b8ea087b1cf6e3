"""Fine-tuning: the backbone and a linear head learn from the labels together.

AdamW with a cosine; the backbone's rate is lower than the head's, and in a pretrained vision transformer each layer's
lower than the next one's (arXiv 2106.08254, appendix A.2). Images are cropped and flipped.
"""

import copy
import os
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import device as devices
from twofold import rng
from twofold.augment import Views
from twofold.data.inspection import Inspection
from twofold.data.loader import Streamed
from twofold.data.plan import MicroBatch, Plan
from twofold.data.resident import Resident
from twofold.data.sources import Source, Subset
from twofold.data.workers import failures
from twofold.encoding.crops import central_crops
from twofold.encoding.encoder import Encoder
from twofold.encoding.progress import Tell, silent
from twofold.evaluation.knn import accuracy
from twofold.evaluation.split import hold_out
from twofold.nets.vit import patch_size
from twofold.schedule import warmup_cosine

RATES = (1e-4, 4e-4, 1.6e-3, 6.4e-3)
"""The learning rates of the backbone that are tried."""
DEFAULT = 4e-4
"""The rate where there are too few labels to choose one by."""
HEAD = 5.0
"""The head's rate is so many times the backbone's."""
LAYER_DECAY = 0.75
"""A layer of a pretrained vision transformer has this share of the next one's rate."""
EPOCHS = 15
STEPS = 300
"""How many steps there are at least, where epochs are short."""
BATCH = 64
WEIGHT_DECAY = 0.05
CROP = (0.5, 1.0)
"""The share of an image's area that a crop covers, lowest and highest."""
SEEDS = 3


@dataclass(frozen=True)
class Start:
    """What fine-tuning begins with, and what decides its course beside the labels.

    ``trained``: whether the backbone has learned before; else all its layers learn at one rate, as they must from
    scratch. ``flip``: the probability that an image is mirrored; a digit's mirror image is no digit. ``precision``: of
    the network, as a recipe has it.
    """

    encoder: Encoder
    trained: bool
    flip: float
    precision: str


def fine_tune(
    start: Start, train: Source, labels: Tensor, test: Source, seed: int = 0, tell: Tell = silent
) -> tuple[list[Tensor], float]:
    """Labels predicted for the test images [M] by `SEEDS` runs, and the rate chosen for them.

    The rate is the one of `RATES` that does best on training images that are held out; the runs then learn from all
    images of ``train``, which must be readable and have ``labels`` [N]. They differ in the head's first weights and in
    the order and the crops of the images.
    """
    names, y = labels.unique(return_inverse=True)
    choosing = hold_out(labels, seed)
    rate = DEFAULT
    if choosing:
        fitting, held = (Subset(train, numbers.tolist()) for numbers in choosing)
        images, scores = _load(fitting, start), []
        for tried in RATES:
            network = _train(start, images, y[choosing[0]], tried, seed, tell, f"rate {tried:g}")
            scores.append(accuracy(_predict(start, network, held), y[choosing[1]]))
        rate = RATES[scores.index(max(scores))]
    images, predicted = _load(train, start), []
    for number in range(SEEDS):
        what = f"run {number + 1} of {SEEDS}"
        network = _train(start, images, y, rate, rng.fold(seed, "run", number), tell, what)
        predicted.append(names[_predict(start, network, test)])
    return predicted, rate


def parameter_groups(backbone: nn.Module, head: nn.Module, rate: float, layer_decay: float) -> list[dict[str, Any]]:
    """Parameters in groups for AdamW, each with its ``peak`` rate.

    Norms, biases and what the backbone exempts have no weight decay. Of a transformer's L blocks the l-th, from 1, has
    rate * layer_decay^(L - l), what comes before the first one rate * layer_decay^L, and the last norm the rate itself;
    a norm after the pooling, as with `--pool average`, counts as one layer more.
    """
    exempt: set[str] = getattr(backbone, "no_weight_decay", set)()
    groups: list[dict[str, Any]] = []
    if callable(getattr(backbone, "group_matcher", None)):  # only timm's networks say which layers they have
        groups = param_groups_layer_decay(backbone, WEIGHT_DECAY, exempt, layer_decay=layer_decay)
    elif any(True for _ in backbone.parameters()):
        groups = param_groups_weight_decay(backbone, WEIGHT_DECAY, no_weight_decay_list=exempt)
    for group in groups:
        group["peak"] = rate * group.pop("lr_scale", 1.0)
    weight, bias = head.parameters()
    groups.append({"params": [weight], "weight_decay": WEIGHT_DECAY, "peak": rate * HEAD})
    groups.append({"params": [bias], "weight_decay": 0.0, "peak": rate * HEAD})
    return groups


def _load(source: Source, start: Start) -> Resident | Streamed:
    threads = min(16, os.cpu_count() or 1)
    inspection = Inspection(source, threads)
    return inspection.load(inspection.fits_in_memory(BATCH), start.encoder.device, threads)


def _train(
    start: Start,
    images: Resident | Streamed,
    labels: Tensor,
    rate: float,
    seed: int,
    tell: Tell,
    what: str,
) -> nn.Sequential:
    """Backbone and head, trained on images with class numbers [N] for `EPOCHS` passes, but at least `STEPS` steps."""
    encoder = start.encoder
    on, spec = encoder.device, encoder.spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.fold(seed, "head"))
        head = nn.Linear(spec.features, int(labels.max()) + 1)
    backbone = copy.deepcopy(encoder.backbone)
    decay = LAYER_DECAY if start.trained and patch_size(backbone) > 1 else 1.0
    network = devices.place(nn.Sequential(backbone, head), on).train()
    optimizer = torch.optim.AdamW(parameter_groups(backbone, head, rate, decay))
    layout, y = devices.layout(network, on), labels.to(on)
    plan = Plan(len(images), min(BATCH, len(images)), seed)
    steps = max(STEPS, EPOCHS * plan.steps_per_epoch)
    mean, std = spec.mean, spec.std
    crops = Views(spec.size, views=1, seed=seed, mean=mean, std=std, crop_scale=CROP, flip=start.flip)
    micro_batches = [MicroBatch(step, slice(0, plan.batch)) for step in range(steps)]
    cuda, batches = [on] if on.type == "cuda" else [], closing(images.load(plan, crops, micro_batches))
    with torch.random.fork_rng(devices=cuda), failures(), batches as loading:
        for step, loaded in enumerate(loading):
            torch.manual_seed(rng.fold(seed, "network", step))  # dropout, where there is any
            for group in optimizer.param_groups:
                group["lr"] = warmup_cosine(group["peak"], step, steps, steps // 10)
            normalised = encoder.normalize(loaded.crops[0]).contiguous(memory_format=layout)
            with devices.autocast(on, start.precision):
                logits = network(normalised)
            loss = F.cross_entropy(logits.float(), y[loaded.index.to(on)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            tell(what, step + 1, steps)
    return network


def _predict(start: Start, network: nn.Module, source: Source) -> Tensor:
    """Class numbers [M] of the central crops of readable images."""
    encoder = Encoder(network, start.encoder.spec)
    crops = central_crops(source, encoder.spec.size, encoder.spec.interpolation)
    return torch.cat([encoder(images).argmax(1).cpu() for _, images in crops])
