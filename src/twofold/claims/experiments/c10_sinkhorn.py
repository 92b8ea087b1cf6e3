"""Sinkhorn's codes run from hard to uniform with epsilon, and no cluster takes all.

claim     With a small epsilon a code names one cluster, as k-means does; with a large one it says nothing. Balancing
          the codes keeps SwAV from the solution in which one cluster takes all images.
setup     SwAV with 30 prototypes. The mean entropy of the codes of all training images, as a share of the largest, by
          epsilon, and how often the code's largest entry is the nearest prototype. Then SwAV trained with codes that
          are not balanced; how evenly held-out images use the prototypes.
refuted   if the entropy does not rise from nearly 0 to nearly 1, or prototypes are used as evenly without the
          balance.
"""

import torch

from twofold import measures
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Stage
from twofold.losses import sinkhorn
from twofold.methods.base import Method

STEPS = 100
EPSILONS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
PROTOTYPES = 30


def run(stage: Stage) -> Measured:
    methods = {arm: trained(stage, arm, rounds) for arm, rounds in (("balanced", 3), ("not balanced", 0))}
    even = methods["balanced"]
    with torch.no_grad():
        scores = even.get_submodule("prototypes")(stage.features(stage.projected(even), test=False))
        codes = {f"{e:g}": sinkhorn(scores, e, 3) for e in EPSILONS}
        chosen = {
            arm: method.get_submodule("prototypes")(stage.embeddings(method)).argmax(1)
            for arm, method in methods.items()
        }
    most = torch.tensor(float(PROTOTYPES)).log()
    return {
        "entropy": {e: float(torch.special.entr(code).sum(1).mean() / most) for e, code in codes.items()},
        "nearest": {e: 100 * float((c.argmax(1) == scores.argmax(1)).float().mean()) for e, c in codes.items()},
        "use": {arm: measures.prototype_entropy(numbers, PROTOTYPES) for arm, numbers in chosen.items()},
        "few": {arm: stage.few(method.backbone) for arm, method in methods.items()},
    }


def trained(stage: Stage, arm: str, iterations: int) -> Method:
    method = stage.method("swav", projector=(128, 64), prototypes=PROTOTYPES, iterations=iterations)
    return stage.train(arm, method, STEPS)


CLAIM = Claim(
    10,
    __doc__,
    run,
    measures={
        "entropy": "entropy of a code: share of the largest, 0 for one cluster, 1 for all alike",
        "nearest": "codes that favour the nearest prototype: %",
        "use": "even use of the prototypes: entropy of the choices, 0 where one cluster takes all",
        "few": "accuracy of the features: %, five labels a class",
    },
    expected=[
        Expected("entropy", 0.2, "0.003"),
        Expected("entropy", "0.1", "0.01", 0.1),
        Expected("entropy", "3", 0.9),
        Expected("use", "balanced", "not balanced", 0.3),
    ],
    x={"entropy": "epsilon", "nearest": "epsilon"},
    logarithmic=True,
)
