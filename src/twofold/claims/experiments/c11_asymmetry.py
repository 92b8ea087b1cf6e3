"""BYOL does not collapse because its sides are not alike.

claim     A predictor on one side and no gradient into the other one prevent the constant output without any
          functional on the batch; a momentum encoder is a slower target. Without the predictor, or with the gradient,
          it collapses.
setup     The energy 2 - 2 cos alone, from the same first weights: with and without a predictor, and on the other side
          shared weights with the gradient, without it, or a momentum encoder. The spread of held-out embeddings, of
          which the energy sees the direction only, and what the features are worth.
refuted   if one of the four arms that should collapse keeps its spread or its features, or one of the two that should
          not loses them.
"""

from torch.nn import functional as F

from twofold import measures
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 100
WELL = ("predictor, stop-gradient", "predictor, momentum")
ILL = ("predictor, gradient", "no predictor, gradient", "no predictor, stop-gradient", "no predictor, momentum")
SIDES = {"gradient": "shared", "stop-gradient": "stop_gradient", "momentum": "momentum"}


def run(stage: Stage) -> Measured:
    found: Measured = {"spread": {}, "few": {}}
    for predictor in (True, False):
        for side, target in SIDES.items():
            arm = f"{'predictor' if predictor else 'no predictor'}, {side}"
            parts: Settings = dict(energy="cosine", energy_weight=2.0, functionals="", projector=(128, 64))
            own = (128, 64) if predictor else ()
            method = stage.method("joint", **parts, target=target, predictor=own, steps=STEPS)
            stage.train(arm, method, STEPS)
            found["spread"][arm] = measures.spread(F.normalize(stage.embeddings(method)))
            found["few"][arm] = stage.few(method.backbone)
    return found


CLAIM = Claim(
    11,
    __doc__,
    run,
    measures={
        "spread": "spread of the embeddings at length 1: distance from their mean, 0 to 1",
        "few": "accuracy of the features: %, five labels a class",
    },
    expected=[
        *(Expected("spread", well, ill, 0.3) for well in WELL for ill in ILL),
        *(Expected("few", well, ill, 2.0) for well in WELL for ill in ILL),
    ],
)
