"""A memory of past batches does the work of a large batch.

claim     What counts is how many negatives a query meets, not where they are from: small batches with a memory of
          past ones get nearly the gradient, and the features, of one large batch.
setup     MoCo with a momentum of 0.9, the same number of images for each: batches of 32 alone, with a memory of 480,
          and batches of 512. At the end of the middle run, the gradient of 32 queries with the batch's 31 negatives
          and with the memory's 480, each beside that with 480 fresh negatives by the present encoder.
refuted   if the memory's gradient is no nearer to the fresh one's than the batch's, or its features are more than two
          points below the large batch's.
note      In most seeds 31 negatives already give nearly the gradient of 480, and a batch of 32 alone makes sixteen
          times the steps of one of 512 for the same images, so a memory has little to add. It takes away because a
          momentum of 0.9 leaves its keys inconsistent: in claim 5 a memory is worth more with 0.99.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Stage
from twofold.losses import attraction, repulsion_from
from twofold.losses.pairs import Same
from twofold.methods.moco import MoCo

IMAGES = 12_800
BATCH, MEMORY = 32, 480
ARMS = {"batch 32": (32, 0), "batch 32, memory 480": (32, MEMORY), "batch 512": (512, 0)}


def run(stage: Stage) -> Measured:
    found: Measured = {"gradient": {}, "few": {}, "knn": {}}
    for arm, (batch, queue) in ARMS.items():
        method = stage.method("moco", projector=(128, 64), queue=queue, momentum=(0.9, 0.9))
        stage.train(arm, method, IMAGES // batch, batch=batch, lr=2e-3 * min(1.0, (batch / 128) ** 0.5))
        if queue and isinstance(method, MoCo):
            found["gradient"] = agreement(stage, method)
        found["few"][arm] = stage.few(method.backbone)
        found["knn"][arm] = stage.knn(method.backbone)
    return found


def agreement(stage: Stage, method: MoCo) -> dict[str, float]:
    """The cosine of the loss's gradient by the weights, with few and with old negatives, and with fresh ones."""
    see = stage.views()
    x, y = see(stage.images[:BATCH]).views
    fresh = F.normalize(method.target(see(stage.images[-MEMORY:]).views[1]))
    key, old = F.normalize(method.target(y)), F.normalize(method.queue.filled)

    def gradient(negatives: Tensor, same: Same = None) -> Tensor:
        query = method.projector(method.encode(x))
        loss = attraction(query, key, 0.2) + repulsion_from(query, key, negatives, same, 0.2)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(method.backbone.parameters()))])

    wanted, number = gradient(fresh), torch.arange(BATCH)
    found = {"batch 32": gradient(key, (number, number)), "batch 32, memory 480": gradient(old)}
    return {arm: float(F.cosine_similarity(rows, wanted, 0)) for arm, rows in found.items()}


CLAIM = Claim(
    4,
    __doc__,
    run,
    measures={
        "gradient": "agreement of the gradient: cosine with that of 480 fresh negatives",
        "few": "accuracy of the features: %, five labels a class",
        "knn": "accuracy of nearest neighbours: %, all labels",
    },
    expected=[
        Expected("gradient", "batch 32, memory 480", "batch 32"),
        Expected("gradient", "batch 32, memory 480", 0.8),
        Expected("few", "batch 32, memory 480", "batch 512", -2.0),
        Expected("few", "batch 32, memory 480", "batch 32"),
    ],
)
