"""Masking suits transformers, not convolutions.

claim     A transformer can leave masked patches out, which makes steps cheaper and features no worse. To a
          convolution they must be painted over, which costs as much as before and puts edges into the image that no
          image has.
setup     SimCLR on a small transformer and on the convolutions, each with whole views and with half of their patches
          masked. What masking adds to the features, and the operations of a step as a share of those without masks.
refuted   if masking adds no more to the transformer than to the convolutions, or its steps get no cheaper.
"""

from torch.utils.flop_counter import FlopCounterMode

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 150
MASK = (0.5, 0.5)


def run(stage: Stage) -> Measured:
    found: Measured = {"few": {}, "gain": {}, "cost": {}}
    masks: dict[str, Settings] = {
        "transformer": dict(mask=MASK, patch_size=stage.patch),
        "convolutions": dict(mask=MASK, mask_fill=True),
    }
    for kind, masked in masks.items():
        costs = []
        for arm, views in ((f"{kind}, whole", {}), (f"{kind}, masked", masked)):
            backbone = stage.transformer() if kind == "transformer" else stage.backbone()
            method = stage.method("simclr", backbone, projector=(128, 64))
            with FlopCounterMode(display=False) as counter:
                method(stage.views(**views)(stage.images[:16]), 0.0).loss.backward()
            method.zero_grad()
            costs.append(counter.get_total_flops())
            found["few"][arm] = stage.few(stage.train(arm, method, STEPS, views=views).backbone)
        found["gain"][kind] = found["few"][f"{kind}, masked"] - found["few"][f"{kind}, whole"]
        found["cost"][kind] = costs[1] / costs[0]
    return found


CLAIM = Claim(
    21,
    __doc__,
    run,
    measures={
        "few": "accuracy of the features: %, five labels a class",
        "gain": "gain by masking: points",
        "cost": "cost of a masked step: share of the operations of a whole one",
    },
    expected=[
        Expected("gain", "transformer", "convolutions", 1.0),
        Expected("cost", 0.8, "transformer"),
    ],
)
