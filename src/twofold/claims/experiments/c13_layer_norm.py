"""data2vec does not collapse because its targets are normalised.

claim     The target is the teacher's own output, so outputs that are the same everywhere would cost nothing. Each
          token of the target normalised over its features, in every block and in their mean, prevents that.
setup     data2vec on a small transformer, with the norms and without them. How far the targets of different held-out
          images lie apart, as a share of their length, and what the features are worth.
refuted   if targets are as far apart, or features as good, without the norms.
note      In 200 steps the targets do not collapse without the norms either, and features hardly leave those of the
          first weights: the experiment is too short to show what the norms are for.
"""

from twofold import measures
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import MEAN, STD, Stage
from twofold.methods.data2vec import Data2Vec
from twofold.nets.normalize import Normalize

STEPS = 200


def run(stage: Stage) -> Measured:
    found: Measured = {"apart": {}, "few": {"untrained": stage.few(stage.transformer())}}
    for arm, normalize in (("normalised", True), ("not normalised", False)):
        backbone = stage.transformer()
        method = stage.method("data2vec", backbone, normalize=normalize, teacher_momentum=(0.9, 1.0))
        stage.train(arm, method, STEPS, lr=1e-3)
        assert isinstance(method, Data2Vec)
        targets = method.regression_target(Normalize(MEAN, STD)(stage.test_images))
        found["apart"][arm] = measures.spread(targets.flatten(1))
        found["few"][arm] = stage.few(method.backbone)
    return found


CLAIM = Claim(
    13,
    __doc__,
    run,
    measures={
        "apart": "spread of the targets: distance from their mean over images as a share of their length, 0 to 1",
        "few": "accuracy of the features: %, five labels a class",
    },
    expected=[
        Expected("apart", "normalised", "not normalised", 0.1),
        Expected("few", "normalised", "not normalised", 1.0),
    ],
)
