"""VICReg needs no large batch.

claim     Variance and covariance can be estimated from few images, so VICReg learns as well from small batches; there
          are no negatives whose number would matter.
setup     VICReg and SimCLR, each with batches of 16, 64 and 256, all for the same number of images, from the same
          first weights; the rate grows with the square root of the batch.
refuted   if VICReg's features from batches of 16 or 64 are worth more than two points less than those from batches of
          256.
"""

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Stage

IMAGES = 12_800
BATCHES = (16, 64, 256)


def run(stage: Stage) -> Measured:
    found: Measured = {"few": {}, "knn": {}}
    for name in ("vicreg", "simclr"):
        for batch in BATCHES:
            arm = f"{name}, {batch}"
            method = stage.method(name, projector=(128, 64))
            stage.train(arm, method, IMAGES // batch, batch=batch, lr=2e-3 * (batch / 128) ** 0.5)
            found["few"][arm] = stage.few(method.backbone)
            found["knn"][arm] = stage.knn(method.backbone)
    return found


CLAIM = Claim(
    8,
    __doc__,
    run,
    measures={
        "few": "accuracy of the features: %, five labels a class",
        "knn": "accuracy of nearest neighbours: %, all labels",
    },
    expected=[
        Expected("few", "vicreg, 16", "vicreg, 256", -2.0),
        Expected("few", "vicreg, 64", "vicreg, 256", -2.0),
    ],
)
