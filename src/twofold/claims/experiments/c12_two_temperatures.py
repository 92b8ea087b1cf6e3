"""DINO needs both of its temperatures, and the centring.

claim     Centring alone pushes the teacher's output towards the uniform one, sharpening alone towards one prototype
          for all images; together they hold each other. The teacher must be sharper than the student.
setup     DINO with 64 prototypes from the same first weights: with both, with a teacher as soft as the student (0.1),
          without centring, and with neither, which is shown beside these. The entropy of the student's output for a
          held-out image, how evenly images choose, and what the features are worth.
refuted   if the output is no flatter without sharpening, or the prototypes are used as evenly without centring, or if
          the features are as good without one of the two.
"""

import math

import torch

from twofold import measures
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage

STEPS = 100
PROTOTYPES = 64
ARMS: dict[str, Settings] = {
    "both": {},
    "no sharpening": dict(teacher_temperature=(0.1, 0.1)),
    "no centring": dict(center_momentum=1.0),
    "neither": dict(teacher_temperature=(0.1, 0.1), center_momentum=1.0),
}


def run(stage: Stage) -> Measured:
    found: Measured = {"entropy": {}, "use": {}, "few": {}}
    for arm, changes in ARMS.items():
        wanted: Settings = {"teacher_temperature": (0.04, 0.04), "steps": STEPS, "prototypes": PROTOTYPES, **changes}
        method = stage.train(arm, stage.method("dino", projector=(128, 64), **wanted), STEPS)
        with torch.no_grad():
            scores = method.get_submodule("prototypes")(stage.embeddings(method))
        entropy = torch.special.entr((scores / 0.1).softmax(1)).sum(1).mean()
        found["entropy"][arm] = float(entropy) / math.log(PROTOTYPES)
        found["use"][arm] = measures.prototype_entropy(scores.argmax(1), PROTOTYPES)
        found["few"][arm] = stage.few(method.exported.backbone)
    return found


CLAIM = Claim(
    12,
    __doc__,
    run,
    measures={
        "entropy": "entropy of an output: of the student's, as a share of the largest; 1 for the uniform one",
        "use": "even use of the prototypes: entropy of the choices, 0 where one takes all",
        "few": "accuracy of the features: %, five labels a class",
    },
    expected=[
        Expected("entropy", "no sharpening", "both", 0.05),
        Expected("entropy", "both", "no centring", 0.3),
        Expected("use", "both", "no centring", 0.3),
        Expected("few", "both", "no sharpening", 1.0),
        Expected("few", "both", "no centring", 1.0),
    ],
)
