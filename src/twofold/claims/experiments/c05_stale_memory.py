"""Stale memory hurts, momentum heals it, and its two ends are useless.

claim     Keys in a queue are older than the encoder that asks for them. A momentum encoder keeps them consistent;
          without momentum they are stale, and with a momentum of 1 the encoder never learns.
setup     MoCo with batches of 64 and a queue of 512 keys, four steps old at most, from the same first weights,
          momentum 0, 0.9, 0.99 and 1. How far the key of an image has turned after four steps, a mean over the run,
          and what the features are worth.
refuted   if keys turn as far with momentum as without, or a momentum of 0 or of 1 gives features as good.
"""

from functools import partial

import torch
from torch import Tensor

from twofold.batch import View
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import MEAN, STD, Stage
from twofold.methods.base import Method, Output, unit
from twofold.methods.moco import MoCo
from twofold.nets.normalize import Normalize

STEPS = 200
QUEUE, BATCH = 512, 64
EVERY = 40
MOMENTA = (0.0, 0.9, 0.99, 1.0)


def run(stage: Stage) -> Measured:
    found: Measured = {"turned": {}, "few": {}, "knn": {}}
    for m in MOMENTA:
        arm = f"{m:g}"
        method, seen = stage.method("moco", projector=(128, 64), queue=QUEUE, momentum=(m, m)), list[Tensor]()
        stage.train(arm, method, STEPS, batch=BATCH, watch=partial(look, stage, method, seen))
        turns = [float(1 - (a * b).sum(1).mean()) for a, b in zip(seen[::2], seen[1::2], strict=False)]
        found["turned"][arm] = sum(turns) / max(1, len(turns))
        found["few"][arm] = stage.few(method.backbone)
        found["knn"][arm] = stage.knn(method.backbone)
    return found


@torch.no_grad()
def look(stage: Stage, method: Method, seen: list[Tensor], step: int, _: Output) -> None:
    """Every so often keep the keys of the held-out images, and again when the queue's oldest keys are from then."""
    if step % EVERY in (0, QUEUE // BATCH // 2) and isinstance(method, MoCo):
        seen.append(unit(method.target(View(Normalize(MEAN, STD)(stage.test_images)))))


CLAIM = Claim(
    5,
    __doc__,
    run,
    measures={
        "turned": "staleness: 1 - cosine of a held-out image's key now and when the queue's oldest keys were made",
        "few": "accuracy of the features: %, five labels a class",
        "knn": "accuracy of nearest neighbours: %, all labels",
    },
    expected=[
        Expected("turned", "0", "0.99", 0.02),
        Expected("few", "0.99", "0", 0.5),
        Expected("few", "0.99", "1", 0.5),
    ],
)
