"""The variance term prevents the collapse to a point, the covariance term that to few directions.

claim     Type 1, the same output for every image, is what the variance term prevents; type 2, dimensions that all say
          the same, so that embeddings differ in few directions, at worst along a line, passes by it and is what the
          covariance term prevents. Neither does the other's work.
setup     VICReg whole, without its variance, without its covariance, from the same first weights. Of held-out
          embeddings of 64 dimensions the standard deviation of a dimension, and the effective rank of their
          covariance.
refuted   if without the variance the deviation stays, if without the covariance the rank stays, or if without the
          covariance the deviation falls too.
"""

from twofold import measures
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 100
ARMS: dict[str, Settings] = {
    "both terms": {},
    "without variance": dict(variance=0.0),
    "without covariance": dict(covariance=0.0),
}


def run(stage: Stage) -> Measured:
    found: Measured = {"deviation": {}, "rank": {}, "few": {}}
    for arm, changes in ARMS.items():
        method = stage.train(arm, stage.method("vicreg", projector=(128, 64), **changes), STEPS)
        z = stage.embeddings(method)
        found["deviation"][arm] = float(measures.deviations(z).mean())
        found["rank"][arm] = measures.effective_rank(measures.covariance_spectrum(z))
        found["few"][arm] = stage.few(method.backbone)
    return found


CLAIM = Claim(
    7,
    __doc__,
    run,
    measures={
        "deviation": "deviation of a dimension: the mean over dimensions; the hinge asks for 1",
        "rank": "effective rank: directions in which the embeddings differ, of 64",
        "few": "accuracy of the features: %, five labels a class",
    },
    expected=[
        Expected("deviation", "both terms", "without variance", 0.3),
        Expected("deviation", "without covariance", "without variance", 0.3),
        Expected("rank", "both terms", "without covariance", 8.0),
    ],
)
