"""A head with one hidden layer on frozen features: what a linear one may miss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import rng
from twofold.encoding.progress import Tell, silent
from twofold.evaluation.knn import accuracy
from twofold.evaluation.linear import scale_of
from twofold.evaluation.split import hold_out
from twofold.nets.heads import mlp
from twofold.schedule import warmup_cosine

WIDTH = 256
"""How wide the hidden layer is."""
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
"""The learning rates that are tried."""
DEFAULT = 1e-3
"""The rate where there are too few labels to choose one by."""
EPOCHS = 30
STEPS = 300
"""How many steps there are at least, where epochs are short."""
BATCH = 256
WEIGHT_DECAY = 1e-2
SEEDS = 3


def fit_heads(
    features: Tensor, labels: Tensor, test: Tensor, seed: int = 0, tell: Tell = silent
) -> tuple[list[Tensor], float]:
    """Labels predicted for the test features [M, D] by `SEEDS` heads, and the learning rate chosen for them.

    The rate is the one of `RATES` that does best on training features that are held out; the heads then learn from all
    features [N, D] with their labels [N]. They differ in their first weights and in the order of the images.
    """
    mean, length = scale_of(features)
    scale = features.shape[1] ** 0.5 / length  # numbers of about 1
    names, y = labels.unique(return_inverse=True)
    x, asked = (features - mean) * scale, (test - mean) * scale
    choosing = hold_out(labels, seed)
    rate = DEFAULT
    if choosing:
        fitting, held = choosing
        tried = [_head(x[fitting], y[fitting], r, seed, tell, f"rate {r:g}") for r in RATES]
        scores = [accuracy(head(x[held]).argmax(1), y[held]) for head in tried]
        rate = RATES[scores.index(max(scores))]
    heads = []
    for number in range(SEEDS):
        what = f"head {number + 1} of {SEEDS}"
        heads.append(_head(x, y, rate, rng.fold(seed, "head", number), tell, what))
    return [names[torch.cat([head(block).argmax(1) for block in asked.split(4096)])] for head in heads], rate


def _head(x: Tensor, y: Tensor, rate: float, seed: int, tell: Tell, what: str) -> nn.Module:
    """A head trained on features [N, D] and class numbers [N] by AdamW, a cosine down to 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.fold(seed, "first weights"))
        head = mlp(x.shape[1], (WIDTH, int(y.max()) + 1), "none")
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=WEIGHT_DECAY)
    batch = min(BATCH, len(x))
    an_epoch = len(x) // batch
    steps = max(STEPS, EPOCHS * an_epoch)
    order = torch.empty(0)
    for step in range(steps):
        if step % an_epoch == 0:
            order = torch.randperm(len(x), generator=rng.generator(seed, "order", step))
        first = step % an_epoch * batch
        rows = order[first : first + batch]
        optimizer.param_groups[0]["lr"] = warmup_cosine(rate, step, steps, steps // 20)
        optimizer.zero_grad()
        F.cross_entropy(head(x[rows]), y[rows]).backward()
        optimizer.step()
        tell(what, step + 1, steps)
    return head.requires_grad_(False)
