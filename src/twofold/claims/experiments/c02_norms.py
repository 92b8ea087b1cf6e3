"""Norms drift unless they are normalised or hinged.

claim     Distances can be lengthened, or shortened, by the length of the embeddings alone, so a loss that sees them
          as they are makes all of them longer or shorter without end. Unit length, or a hinge on the deviation of
          each dimension, ends that.
setup     Three losses from the same first weights, each as it is and with its remedy: the distance of two views less
          that to another image, on embeddings as they are and at length 1; InfoNCE on products and on cosines; VICReg
          without and with its hinge. The distance of a batch's embeddings from their mean after a quarter of the run
          and at its end; how often it has doubled or halved in between.
refuted   if it is as steady without the remedy as with it.
"""

import math
from functools import partial

from torch import Tensor, nn

from twofold.batch import Batch
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import FEATURES, Settings, Stage
from twofold.methods.base import Method, Output, unit
from twofold.nets.heads import mlp

STEPS = 80
ARMS: dict[str, tuple[str, Settings]] = {
    "difference": ("", dict(normalize=False)),
    "difference, length 1": ("", dict(normalize=True)),
    "InfoNCE, products": ("simclr", dict(normalize=False)),
    "InfoNCE, cosines": ("simclr", {}),
    "VICReg, no hinge": ("vicreg", dict(variance=0.0)),
    "VICReg": ("vicreg", {}),
}


class Difference(Method):
    """The squared distance of an image's two views, less that of its view and another image's."""

    def __init__(self, backbone: nn.Module, normalize: bool) -> None:
        super().__init__(backbone)
        self.projector, self.normalize = mlp(FEATURES, (128, 64)), normalize

    def forward(self, batch: Batch, progress: float) -> Output:
        x, y = (self.projector(self.encode(view)) for view in batch.views)
        p, q = (unit(x), unit(y)) if self.normalize else (x, y)
        near, far = ((p - other).square().sum(1).mean() for other in (q, q.roll(1, 0)))
        return Output({"energy": near, "repulsion": -far}, (x, y))

    def collapsed_loss(self, batch_size: int) -> float:
        return 0.0


def run(stage: Stage) -> Measured:
    found: Measured = {"drift": {}, "size": {}}
    for arm, (name, settings) in ARMS.items():
        sizes = list[float]()
        if name:
            method = stage.method(name, projector=(128, 64), **settings)
        else:
            method = stage.first("heads", partial(Difference, stage.backbone(), **settings))
        stage.train(arm, method, STEPS, watch=partial(look, sizes))
        found["size"][arm] = math.log2(sizes[-1])
        found["drift"][arm] = abs(math.log2(sizes[-1] / sizes[len(sizes) // 4]))
    return found


def look(sizes: list[float], _: int, output: Output) -> None:
    """Keep how far a batch's embeddings are from their mean."""
    sizes.append(distance(output.embeddings[0].detach()))


def distance(z: Tensor) -> float:
    return float((z - z.mean(0)).norm(dim=1).mean().clamp_min(1e-30))


CLAIM = Claim(
    2,
    __doc__,
    run,
    measures={
        "drift": "drift: doublings or halvings of the distance from the mean in the last three quarters",
        "size": "distance from the mean at the end: logarithm to base 2",
    },
    expected=[
        Expected("drift", "difference", "difference, length 1", 1.0),
        Expected("drift", "InfoNCE, products", "InfoNCE, cosines"),
        Expected("drift", "VICReg, no hinge", "VICReg", 1.0),
    ],
)
