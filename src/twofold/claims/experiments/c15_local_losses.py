"""Local losses need no batch.

claim     A loss that is a mean over images, as BYOL's and SimSiam's, has the same gradient computed part by part, on
          however many machines. InfoNCE, VICReg and Barlow Twins compare the images of a batch and have another one.
setup     Untrained networks without batch norm. The gradient of a batch of 128 images, and the mean of those of its
          eight parts of 16. The change is their distance as a share of the former's length, of which the logarithm to
          base 10 is compared: 0 is all of the gradient, -2 a hundredth of it.
refuted   if a local loss's gradient changes, or a batch loss's does not.
"""

import math

import torch
from torch import Tensor

from twofold.batch import Batch, View
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage
from twofold.methods.base import Method

BATCH, PART = 128, 16
NORM: Settings = dict(projector_norm="layer")
LOCAL: dict[str, Settings] = {"byol": NORM | dict(predictor=(128, 64)), "simsiam": NORM | dict(predictor=(128, 64))}
TOGETHER: dict[str, Settings] = {"simclr": NORM, "vicreg": NORM, "barlow_twins": NORM}


def run(stage: Stage) -> Measured:
    batch = stage.views()(stage.images[:BATCH])
    parts = [
        Batch(tuple(View(view.images[rows : rows + PART]) for view in batch.views), None, batch.chance)
        for rows in range(0, BATCH, PART)
    ]
    found: Measured = {"change": {}}
    for name, options in {**LOCAL, **TOGETHER}.items():
        method = stage.method(name, stage.backbone(norm=False), projector=(128, 64), **options)
        whole = gradient(method, batch)
        mean = torch.stack([gradient(method, part) for part in parts]).mean(0)
        found["change"][name] = math.log10(float((mean - whole).norm() / whole.norm()) + 1e-12)
    return found


def gradient(method: Method, batch: Batch) -> Tensor:
    """Of the loss by the weights of the backbone."""
    found = torch.autograd.grad(method(batch, 0.0).loss, list(method.backbone.parameters()))
    return torch.cat([each.flatten() for each in found])


CLAIM = Claim(
    15,
    __doc__,
    run,
    measures={"change": "logarithm of the gradient's change: to base 10, of its share of the length; 0 is all of it"},
    expected=[
        *(Expected("change", -4.0, name) for name in LOCAL),
        *(Expected("change", name, -1.5) for name in TOGETHER),
    ],
)
