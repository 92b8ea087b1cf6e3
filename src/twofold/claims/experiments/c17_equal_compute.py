"""Joint embedding beats generative and pretext methods at equal compute.

claim     For the same number of operations, features that were learned by joint embedding are worth more than those
          of a method that makes the image again, or solves a task made up from it.
setup     SimCLR and VICReg beside a denoising autoencoder and rotation, on the same backbone. The operations of a
          step of 128 images, forward and backward, are counted, and each gets as many steps as cost what SimCLR's do.
refuted   if one of the other two gives features as good as one of the joint embeddings.
note      Rotation is a strong task where photographs have an up and a down. The denoising autoencoder gets few steps,
          as its decoder is dear.
"""

from torch.utils.flop_counter import FlopCounterMode

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS, BATCH = 150, 128
JOINT: dict[str, Settings] = {"simclr": dict(projector=(128, 64)), "vicreg": dict(projector=(128, 64))}
OTHERS: dict[str, Settings] = {"denoising": {}, "rotation": {}}


def run(stage: Stage) -> Measured:
    costs = {name: operations(stage, name, options) for name, options in {**JOINT, **OTHERS}.items()}
    found: Measured = {"few": {"untrained": stage.few(stage.backbone())}, "linear": {}, "steps": {}}
    for name, options in {**JOINT, **OTHERS}.items():
        steps = round(STEPS * costs["simclr"] / costs[name])
        views = {} if name in JOINT else dict(jitter=0.0)
        method = stage.train(name, stage.method(name, **options), steps, batch=BATCH, views=views)
        found["few"][name] = stage.few(method.backbone)
        found["linear"][name] = stage.linear(method.backbone)
        found["steps"][name] = float(steps)
    return found


def operations(stage: Stage, name: str, options: Settings) -> int:
    """Of a step, forward and backward."""
    method, batch = stage.method(name, **options), stage.views()(stage.images[:BATCH])
    with FlopCounterMode(display=False) as counter:
        method(batch, 0.5).loss.backward()
    total: int = counter.get_total_flops()
    return total


CLAIM = Claim(
    17,
    __doc__,
    run,
    measures={
        "few": "accuracy from few labels: %, a linear head, five labels a class",
        "linear": "accuracy from all labels: %, a linear head",
        "steps": "steps for the same compute: of 128 images",
    },
    expected=[Expected("few", name, other, 1.0) for name in JOINT for other in OTHERS],
)
