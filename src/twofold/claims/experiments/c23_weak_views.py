"""A momentum encoder helps most where distortions are weak.

claim     Momentum encoders usually help, and help most with weak distortions, where the target of the weights
          themselves says little that is new.
setup     The energy 2 - 2 cos with a predictor, on the other side the weights themselves without a gradient or a
          momentum encoder, each with strong distortions and with weak ones (crops from 0.8, half the jitter). What
          momentum adds to the features, in both cases.
refuted   if momentum adds as much with strong distortions as with weak ones.
"""

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 150
VIEWS: dict[str, Settings] = {"strong": {}, "weak": dict(crop_scale=(0.8, 1.0), jitter=0.4)}
SIDES = {"no momentum": "stop_gradient", "momentum": "momentum"}


def run(stage: Stage) -> Measured:
    found: Measured = {"few": {}, "gain": {}}
    parts: Settings = dict(energy="cosine", energy_weight=2.0, functionals="", projector=(128, 64), predictor=(128, 64))
    for strength, views in VIEWS.items():
        for side, target in SIDES.items():
            arm = f"{strength}, {side}"
            method = stage.method("joint", **parts, target=target, steps=STEPS)
            found["few"][arm] = stage.few(stage.train(arm, method, STEPS, views=views).backbone)
        found["gain"][strength] = found["few"][f"{strength}, momentum"] - found["few"][f"{strength}, no momentum"]
    return found


CLAIM = Claim(
    23,
    __doc__,
    run,
    measures={"few": "accuracy of the features: %, five labels a class", "gain": "gain by momentum: points"},
    expected=[Expected("gain", "weak", 0.0, 0.5), Expected("gain", "weak", "strong", 0.5)],
)
