"""The random crop is the distortion that matters most.

claim     Of all distortions the random crop teaches most: left out, features lose more than without any other one.
setup     SimCLR with crop, jitter of brightness and contrast (of photographs all colours), and blur; then each of
          them left out, everything else as it was.
refuted   if leaving out another distortion costs as much as leaving out the crop.
"""

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 100
WITHOUT: dict[str, Settings] = {
    "all": {},
    "no crop": dict(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)),
    "no jitter": dict(jitter=0.0, grayscale=0.0),
    "no blur": dict(blur=(0.0, 0.0)),
}


def run(stage: Stage) -> Measured:
    found: Measured = {"few": {}, "knn": {}}
    for arm, left_out in WITHOUT.items():
        views: Settings = {"blur": (0.5, 0.5), "blur_sigma": (0.1, 1.0), **left_out}
        method = stage.train(arm, stage.method("simclr", projector=(128, 64)), STEPS, views=views)
        found["few"][arm] = stage.few(method.backbone)
        found["knn"][arm] = stage.knn(method.backbone)
    return found


CLAIM = Claim(
    19,
    __doc__,
    run,
    measures={
        "few": "accuracy of the features: %, five labels a class",
        "knn": "accuracy of nearest neighbours: %, all labels",
    },
    expected=[
        Expected("few", "all", "no crop", 1.0),
        Expected("few", "no jitter", "no crop", 1.0),
        Expected("few", "no blur", "no crop", 1.0),
    ],
)
