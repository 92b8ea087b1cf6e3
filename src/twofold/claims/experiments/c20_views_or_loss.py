"""The distortions can matter more than the loss.

claim     Between good losses there is less difference than between good and poor distortions with one loss.
setup     Three losses, of SimCLR, VICReg and Barlow Twins, with the same distortions; then SimCLR with three choices:
          all, without the crop, none at all but the flip that photographs have. The range of what the features are
          worth.
refuted   if the range over losses is as large as that over distortions.
"""

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 80
LOSSES = ("simclr", "vicreg", "barlow_twins")
WHOLE: Settings = dict(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
VIEWS: dict[str, Settings] = {
    "simclr, no crop": WHOLE,
    "simclr, no distortion": WHOLE | dict(jitter=0.0, grayscale=0.0),
}


def run(stage: Stage) -> Measured:
    few: dict[str, float] = {}
    for arm in (*LOSSES, *VIEWS):
        method = stage.method(arm.partition(",")[0], projector=(128, 64))
        few[arm] = stage.few(stage.train(arm, method, STEPS, views=VIEWS.get(arm)).backbone)
    over = {"losses": [few[arm] for arm in LOSSES], "distortions": [few[arm] for arm in ("simclr", *VIEWS)]}
    return {"few": few, "range": {what: max(values) - min(values) for what, values in over.items()}}


CLAIM = Claim(
    20,
    __doc__,
    run,
    measures={
        "few": "accuracy of the features: %, five labels a class",
        "range": "range: points between the best and the worst",
    },
    expected=[Expected("range", "distortions", "losses", 2.0)],
)
