"""Where images lie on the map, and which are nearest: pure functions of their features.

Of up to a few thousand images the map is their t-SNE (JMLR 9, 2579-2605, 2008). Of more it is that of a sample, the
landmarks, which then stay where they are; each further image goes where its own t-SNE cost is least.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.manifold import TSNE
from torch import Tensor
from torch.nn import functional as F

from twofold import rng

LANDMARKS = 2500
COMPONENTS = 50
"""How many principal components of the features t-SNE gets: that takes noise away, and time."""
PERPLEXITY = 30
"""The perplexity of landmarks among themselves."""
PLACING = 5
"""The perplexity of an image among landmarks, which lie further apart."""
STEPS = 30
RATE = 0.005
"""The rate of the descent, for each landmark: the gradient falls with their number."""
LONGEST = 3.0
"""The longest step, in the map's own unit."""
BLOCK = 2048
WIDE = 512
"""How many images' cosines with all others are computed at once."""


def nearest_neighbours(unit: Float[Tensor, "n d"], count: int) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    """For each row of length 1 the other rows with the largest cosines, largest first, and these; k at most n - 1."""
    k = min(count, len(unit) - 1)
    index, cosine = [], []
    for start in range(0, len(unit), WIDE):
        block = unit[start : start + WIDE] @ unit.T
        own = torch.arange(len(block), device=unit.device)
        block[own, own + start] = -2.0
        best = block.topk(k, dim=1)
        index.append(best.indices.cpu())
        cosine.append(best.values.cpu())
    return torch.cat(index), torch.cat(cosine).clamp(-1, 1)


def flat(unit: Float[Tensor, "n d"], landmarks: int = LANDMARKS, seed: int = 0) -> Float[Tensor, "n 2"]:
    """A map of rows of length 1, a function of them and the seed: its centre at 0, its larger side from -1 to 1."""
    order = torch.randperm(len(unit), generator=rng.generator(seed, "landmarks"))
    chosen = order[:landmarks].sort().values
    few = len(chosen)
    points = principal(unit, chosen)
    placed = _tsne(points[chosen], seed)
    if few < len(unit):
        placed = torch.cat([_place(block, points[chosen], placed) for block in points.split(BLOCK)])
    low, high = placed.amin(0), placed.amax(0)
    return (placed - (low + high) / 2) / ((high - low).max() / 2).clamp_min(1e-12)


def principal(unit: Float[Tensor, "n d"], chosen: Int[Tensor, " m"]) -> Float[Tensor, "n k"]:
    """The first principal components, at most `COMPONENTS`, of the ``chosen`` rows; of all rows."""
    mean = unit[chosen].double().mean(0)
    centred = unit[chosen].double() - mean
    axes: Tensor = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -COMPONENTS:].flip(1)
    return torch.cat([((rows.double() - mean) @ axes).float() for rows in unit.split(BLOCK)])


def _tsne(points: Tensor, seed: int) -> Tensor:
    """t-SNE of points [n, d], from their first two components; of fewer than five these themselves."""
    first = F.pad(points, (0, 2))[:, :2]
    spread = first[:, 0].std(correction=0)
    if len(points) < 5 or spread < 1e-6:  # too few, or all alike: collapsed
        return first
    model = TSNE(
        perplexity=min(PERPLEXITY, (len(points) - 1) / 3), init=(first / spread * 1e-4).numpy(), random_state=seed
    )
    return torch.from_numpy(np.asarray(model.fit_transform(points.numpy()), dtype=np.float32))


def _place(points: Tensor, landmarks: Tensor, placed: Tensor) -> Tensor:
    """The points [n, d] among landmarks [m, d] that were ``placed`` [m, 2]: [n, 2].

    From the weighted mean of the nearest ones' places, down the gradient of KL(P_i || Q_i), with q_ij proportional to
    1 / (1 + |y_i - y_j|^2) and p_ij from the nearest landmarks alone. The landmarks do not move.
    """
    square, near = torch.cdist(points, landmarks).square().topk(min(3 * PLACING, len(landmarks)), largest=False)
    p = affinities(square, float(min(PLACING, square.shape[1] - 1)))
    weights = 1 / square.clamp_min(1e-9).square()
    places = ((weights / weights.sum(1, keepdim=True))[..., None] * placed[near]).sum(1)
    speed = torch.zeros_like(places)
    for _ in range(STEPS):
        kernel = 1 / (1 + torch.cdist(places, placed).square())
        pull = p * kernel.gather(1, near)
        weight = -kernel.square() / kernel.sum(1, keepdim=True)
        weight.scatter_add_(1, near, pull)
        gradient = weight.sum(1, keepdim=True) * places - weight @ placed
        speed = (speed / 2 - RATE * len(placed) * gradient).clamp(-LONGEST, LONGEST)
        places = places + speed
    return places


def affinities(square: Float[Tensor, "n k"], perplexity: float) -> Float[Tensor, "n k"]:
    """t-SNE's p: softmax(-beta d^2) along rows, each beta such that the entropy is log(perplexity), by bisection."""
    square = square - square[:, :1]
    scale = square.mean(1, keepdim=True).clamp_min(1e-12)
    low, high = torch.full_like(scale, -10.0), torch.full_like(scale, 10.0)  # log of beta times the scale
    for _ in range(30):
        middle = (low + high) / 2
        p = torch.softmax(-square / scale * middle.exp(), 1)
        flat = torch.special.entr(p).sum(1, keepdim=True) > torch.tensor(perplexity).log()
        low, high = torch.where(flat, middle, low), torch.where(flat, high, middle)
    return p
