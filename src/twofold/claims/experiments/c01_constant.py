"""Without a term against collapse the output becomes constant.

claim     An energy alone is least where every image has the same output, and training finds that solution.
setup     VICReg and SimCLR from the same first weights, whole and with their energy alone. Of VICReg the standard
          deviation of a dimension over held-out images, of SimCLR, which sees directions only, the distance from the
          mean as a share of the length; then what the features before the projector are worth.
refuted   if embeddings of an energy alone still differ from image to image, or those of the whole loss do not, or if
          the features of an energy alone are worth as much.
"""

from twofold import measures
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 120
ARMS: dict[str, Settings] = {
    "vicreg": {},
    "vicreg, energy alone": dict(variance=0.0, covariance=0.0),
    "simclr": {},
    "simclr, energy alone": dict(repulsion=0.0),
}


def run(stage: Stage) -> Measured:
    found: Measured = {"deviation": {}, "spread": {}, "few": {}}
    for arm, changes in ARMS.items():
        method = stage.train(arm, stage.method(arm.partition(",")[0], projector=(128, 64), **changes), STEPS)
        z = stage.embeddings(method)
        if arm.startswith("vicreg"):
            found["deviation"][arm] = float(measures.deviations(z).mean())
        else:
            found["spread"][arm] = measures.spread(z)
        found["few"][arm] = stage.few(method.backbone)
    return found


CLAIM = Claim(
    1,
    __doc__,
    run,
    measures={
        "deviation": "deviation of a dimension: the mean over dimensions; VICReg asks for 1",
        "spread": "spread of the embeddings: distance from their mean as a share of their length, 0 to 1",
        "few": "accuracy of the features: %, five labels a class",
    },
    expected=[
        Expected("deviation", "vicreg", "vicreg, energy alone", 0.3),
        Expected("deviation", 0.1, "vicreg, energy alone"),
        Expected("spread", "simclr", "simclr, energy alone", 0.3),
        Expected("spread", 0.1, "simclr, energy alone"),
        Expected("few", "vicreg", "vicreg, energy alone", 2.0),
        Expected("few", "simclr", "simclr, energy alone", 2.0),
    ],
)
