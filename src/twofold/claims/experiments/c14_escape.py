"""A start in the trivial solution never escapes, and other starts never get there.

claim     The constant output is a point of rest of the loss, though a bad one: begun there, training stays there.
          Begun elsewhere, a loss with a working functional does not come to it.
setup     VICReg and SimCLR from ordinary first weights; with the weights of the projector's last layer at 0, so that
          every output is its bias; and with these weights at a hundredth, where outputs are nearly constant. SGD for
          all, for the constant start also AdamW. The spread of held-out embeddings after training.
refuted   if embeddings differ after training that began with a constant output, or have become alike after another
          start.
note      AdamW divides a gradient by its own size. At the point of rest the gradient is 0 but for rounding, and what
          rounding leaves becomes a step like any other: so AdamW may escape where exact arithmetic, and SGD, stay.
          From a nearly constant start SimCLR has moved little after 60 steps on digits, and is away from it on
          photographs: it is slow there, since its gradient is small where all outputs are nearly alike.
"""

import torch
from torch import nn

from twofold import measures
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Stage
from twofold.methods.base import Method

STEPS = 60
METHODS = ("vicreg", "simclr")
STARTS = {
    "ordinary": (1.0, True),
    "nearly constant": (0.01, True),
    "constant": (0.0, True),
    "constant, AdamW": (0.0, False),
}


def run(stage: Stage) -> Measured:
    found: Measured = {"spread": {}}
    for name in METHODS:
        for start, (scale, sgd) in STARTS.items():
            arm = f"{name}, {start}"
            method = stage.method(name, projector=(128, 64))
            plant(method, scale)
            stage.train(arm, method, STEPS, batch=64, sgd=sgd, lr=0.02 if sgd else 2e-3)
            found["spread"][arm] = measures.spread(stage.embeddings(method))
    return found


@torch.no_grad()
def plant(method: Method, scale: float) -> None:
    """Multiply the weights of the projector's last layer, beside a bias of length 1."""
    last = [module for module in method.get_submodule("projector").modules() if isinstance(module, nn.Linear)][-1]
    last.weight *= scale
    if scale < 1 and last.bias is not None:
        last.bias.fill_(len(last.bias) ** -0.5)


CLAIM = Claim(
    14,
    __doc__,
    run,
    measures={"spread": "spread of the embeddings: distance from their mean as a share of their length, 0 to 1"},
    expected=[
        *(Expected("spread", f"{name}, ordinary", 0.3) for name in METHODS),
        *(Expected("spread", f"{name}, nearly constant", 0.05) for name in METHODS),
        *(Expected("spread", 0.05, f"{name}, constant") for name in METHODS),
        *(Expected("spread", 0.05, f"{name}, constant, AdamW") for name in METHODS),
    ],
)
