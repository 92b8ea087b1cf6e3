"""InfoNCE pushes similar negatives hardest.

claim     The gradient of InfoNCE gives each negative a softmax weight: the most similar ones are pushed away hardest,
          and a low temperature leaves hardly any push for the others.
setup     SimCLR, then InfoNCE of held-out images, 64 queries with one key and all other images as negatives each. The
          gradient at each negative is measured; the share of all push that the most similar tenth gets, by
          temperature. Also how many of that tenth show the query's own class, and so are no negatives at all.
refuted   if the most similar tenth gets no more than a tenth of the push, or no more at a low temperature.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Stage
from twofold.losses import repulsion_from

STEPS = 80
TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
QUERIES = 64


def run(stage: Stage) -> Measured:
    method = stage.train("simclr", stage.method("simclr", projector=(128, 64)), STEPS)
    see, projector = stage.views(), method.get_submodule("projector")
    with torch.no_grad():
        x, y = (F.normalize(projector(method.encode(view))) for view in see(stage.test_images).views)
    tops = [pushed(x, y, query, 1.0)[1] for query in range(QUERIES)]
    same = torch.cat([stage.test_labels[top] == stage.test_labels[query] for query, top in enumerate(tops)])
    pushes = {t: [pushed(x, y, query, t)[0] for query in range(QUERIES)] for t in TEMPERATURES}
    share = {f"{t:g}": sum(values) / QUERIES for t, values in pushes.items()}
    return {"share": share, "same": {"most similar tenth": 100 * float(same.float().mean())}}


def pushed(x: Tensor, y: Tensor, query: int, temperature: float) -> tuple[float, Tensor]:
    """The share in percent of all push on negatives that the most similar tenth of them gets, and their numbers."""
    others = torch.arange(len(y)) != query
    negatives = y[others].requires_grad_()
    loss = repulsion_from(x[query : query + 1], y[query : query + 1], negatives, None, temperature, normalize=False)
    (gradient,) = torch.autograd.grad(loss, negatives)
    top = (negatives @ x[query]).topk(len(negatives) // 10).indices
    push = gradient.norm(dim=1)
    return float(100 * push[top].sum() / push.sum()), others.nonzero()[:, 0][top]


CLAIM = Claim(
    3,
    __doc__,
    run,
    measures={
        "share": "% of the push that the most similar tenth gets: of the gradient at all negatives",
        "same": "hard negatives of the query's own class: % of the most similar tenth",
    },
    expected=[
        Expected("share", "0.1", 10.0, 20.0),
        Expected("share", "0.2", 10.0, 10.0),
        Expected("share", "0.1", "0.5", 10.0),
        Expected("share", "0.5", "2", 1.0),
    ],
    x={"share": "temperature"},
    logarithmic=True,
)
