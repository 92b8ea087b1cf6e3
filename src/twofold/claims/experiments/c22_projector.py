"""A projector helps, and after it there is less.

claim     Features are better when the loss is computed after a projector that is thrown away. What it leaves, also
          where it is as wide as the features, is worth less than what went in.
setup     SimCLR without a projector, and with one of 128 and then 64 dimensions, as many as the features have. A
          linear head from five labels a class, on the features and after the projector.
refuted   if features learned without a projector are as good, or those after the projector as good as those before
          it.
note      On digits the order is the lecture's by all labels, and by five a class it is not. A likely reason: the
          distortions of digits take away little that tells digits apart, so that features as invariant as the loss
          wants them need fewer labels. On photographs the order is the lecture's by both, but after the projector
          there is hardly less.
"""

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import FEATURES, Stage

STEPS = 150


def run(stage: Stage) -> Measured:
    bare = stage.train("no projector", stage.method("simclr", projector=()), STEPS)
    method = stage.train("projector", stage.method("simclr", projector=(128, FEATURES)), STEPS)
    networks = {
        "untrained": stage.backbone(),
        "no projector": bare.backbone,
        "before the projector": method.backbone,
        "after the projector": stage.projected(method),
    }
    few = {arm: stage.few(network) for arm, network in networks.items()}
    return {"few": few, "linear": {arm: stage.linear(network) for arm, network in networks.items()}}


CLAIM = Claim(
    22,
    __doc__,
    run,
    measures={
        "few": "accuracy from few labels: %, a linear head, five labels a class",
        "linear": "accuracy from all labels: %, a linear head",
    },
    expected=[
        Expected("few", "before the projector", "no projector", 1.0),
        Expected("few", "before the projector", "after the projector", 1.0),
    ],
)
