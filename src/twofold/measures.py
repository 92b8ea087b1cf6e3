"""What can be read off embeddings without labels: pure functions, each with its formula and source.

Embeddings are float tensors or NumPy arrays [N, D], a row for each of N images, on any device; everything is computed
in float64. What is no such array, has fewer than two rows or holds a value that is not finite is a `UsageError`.

    >>> import numpy as np
    >>> from twofold import measures
    >>> good = np.random.default_rng(0).normal(size=(1000, 8))   # 8 dimensions that vary alike
    >>> poor = good * [1, 1, 0, 0, 0, 0, 0, 0]                    # only two of them are left
    >>> round(measures.rankme(good), 1), round(measures.rankme(poor), 1)
    (8.0, 2.0)
    >>> constant = poor * 0 + 1                                   # the same output, whatever comes in
    >>> measures.spread(constant), round(measures.mean_cosine(constant), 6)
    (0.0, 1.0)
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import UsageError

__all__ = [
    "alignment", "alpha_req", "covariance_spectrum", "dead_dimensions", "deviations", "effective_rank", "energy_share",
    "lidar", "mean_cosine", "of_embeddings", "parameter_distance", "power_law", "prototype_entropy", "rankme",
    "rounding", "spread", "stale_share", "uniformity",
]  # fmt: skip

Embeddings = Float[Tensor, "n d"] | Float[np.ndarray, "n d"]
Spectrum = Float[Tensor, " r"]

DEAD = 1e-2
"""A dimension with less deviation than this share of the embeddings' root mean square says nothing."""
FLOOR = 1e-7
"""What is added to shares before their logarithm is taken (arXiv 2210.02885 eq. 1)."""
HEAD = 10
"""A power law is not fitted to so many of the largest eigenvalues."""
ENERGIES = ("energy", "attraction", "invariance")
"""The names that methods give to the terms of their energy."""
SHORTEST = 1e-300
"""What a length is at least where it divides."""
WITHIN = 1e-4
"""What is added to the diagonal of the covariance within images, times its mean (arXiv 2312.04000, section 4)."""


def as_embeddings(z: object, what: str = "embeddings", rows: int = 2, shape: str = "N, D") -> Tensor:
    """``z`` as a float tensor of this shape, in its own precision.

    Raises:
        UsageError: if it is none, has fewer ``rows`` or holds a value that is not finite; ``what`` is its name there.
    """
    if isinstance(z, np.ndarray):
        if z.dtype.kind != "f":
            raise UsageError(f"{what} must be a tensor or an array of floats, not of {z.dtype}")
        z = torch.from_numpy(np.require(z, requirements=["C", "W"]))
    if not isinstance(z, Tensor) or not z.is_floating_point():
        kind = f"of {z.dtype}".replace("torch.", "") if isinstance(z, Tensor) else f"a {type(z).__name__}"
        raise UsageError(f"{what} must be a tensor or an array of floats, not {kind}")
    if z.ndim != len(shape.split()) or 0 in z.shape[1:]:
        raise UsageError(f"{what} must have the shape [{shape}], not {list(z.shape)}")
    if len(z) < rows:
        raise UsageError(f"{what} must have at least {rows} rows, not {len(z)}")
    if not bool(z.isfinite().all()):
        raise UsageError(f"{what} hold values that are not finite (NaN or infinite)")
    return z.cpu() if z.device.type == "mps" else z  # which has no float64


def _double(z: Embeddings) -> Tensor:
    return as_embeddings(z).double()


def of_embeddings(z: Embeddings, spectrum: Spectrum | None = None) -> dict[str, float]:
    """The measures of one set of embeddings by name; NaN is a measure that cannot be told from them.

    They are ``spread``, ``dead`` (`dead_dimensions`), ``rank`` (`rankme`), ``centred_rank`` (the `effective_rank` of
    the covariance), ``rank_limit`` (the largest that either rank can be), ``alpha`` (`alpha_req`), ``cosine``
    (`mean_cosine`), ``uniformity`` and ``length`` (the mean length of an embedding).

    Args:
        z: embeddings [N, D].
        spectrum: their `covariance_spectrum`, if it has been computed already.
    """
    z = _double(z)
    spectrum = covariance_spectrum(z) if spectrum is None else spectrum
    return {
        "spread": spread(z),
        "dead": dead_dimensions(z),
        "rank": rankme(z),
        "centred_rank": effective_rank(spectrum),
        "rank_limit": float(min(z.shape)),
        "alpha": power_law(spectrum),
        "cosine": mean_cosine(z),
        "uniformity": uniformity(z),
        "length": float(z.norm(dim=1).mean()),
    }


def deviations(z: Embeddings) -> Float[Tensor, " d"]:
    """Each dimension's standard deviation over the images, biased: float64 [D]."""
    return _double(z).std(0, correction=0)


def spread(z: Embeddings) -> float:
    """How far embeddings lie from their mean, as a share of their length: sqrt(E|z - mean|^2 / E|z|^2), 0 to 1.

    0: the same output whatever comes in; 1: the mean is at the origin.
    """
    z = _double(z)
    length = z.square().sum(1).mean().sqrt()
    return float((z - z.mean(0)).square().sum(1).mean().sqrt() / length.clamp_min(SHORTEST))


def dead_dimensions(z: Embeddings) -> float:
    """Share of dimensions, 0 to 1, whose deviation is below `DEAD` times the root mean square of all entries."""
    z = _double(z)
    rms = z.square().mean().sqrt().clamp_min(SHORTEST)
    return float((deviations(z) < DEAD * rms).double().mean())


def covariance_spectrum(z: Embeddings, noise: float = 1e-20) -> Spectrum:
    """Eigenvalues of the covariance matrix, largest first, as shares of their sum: [min(N, D)]; zeros if z is constant.

    They come from the N x N Gram matrix where that is the smaller one. Eigenvalues below ``noise`` times the squared
    length of all of z together are taken for rounding errors (see `rounding`) and count as 0.
    """
    z = _double(z)
    values = _squared_singular_values(z - z.mean(0))
    values = torch.where(values > noise * z.square().sum(), values, 0.0)
    return values / values.sum().clamp_min(SHORTEST)


def rounding(z: Embeddings) -> float:
    """The largest eigenvalue that rounding to z's precision gives by itself, as a share of z's squared length.

    The entries' errors, eps / sqrt(12) of each at most, are as good as independent: a random matrix of n x d, whose
    largest squared singular value is (sqrt(n) + sqrt(d))^2 times their variance.
    """
    z = as_embeddings(z)
    n, d = z.shape
    eps = torch.finfo(z.dtype).eps
    return eps**2 / 12 * (math.sqrt(n) + math.sqrt(d)) ** 2 / (n * d)


def rankme(z: Embeddings) -> float:
    """Effective rank: exp of the entropy of the singular values' shares, 1 to min(N, D) (arXiv 2210.02885 eq. 1)."""
    return effective_rank(_squared_singular_values(_double(z)))


def effective_rank(spectrum: Spectrum) -> float:
    """exp of the entropy of the square roots of eigenvalues [r], as shares: `rankme` of what has this covariance."""
    singular = spectrum.sqrt()
    return _effective(singular / singular.sum().clamp_min(SHORTEST))


def alpha_req(z: Embeddings) -> float:
    """How fast the covariance's eigenvalues fall: alpha in lambda_j ~ j^-alpha (alpha-ReQ, Agrawal et al., 2022).

    Near 1 is best in that paper; a larger one means that few directions hold all. NaN if it cannot be told.
    """
    return power_law(covariance_spectrum(z))


def power_law(spectrum: Spectrum) -> float:
    """The alpha of a spectrum that is as j^-alpha, largest first (alpha-ReQ, NeurIPS 2022, section 2).

    Least squares on the logarithms, each weighed 1/j, without the `HEAD` largest (of fewer than forty, a quarter) and
    without what is below 1e-6 of the largest. NaN if fewer than three are left.
    """
    values = spectrum.double()
    first = min(HEAD, len(values) // 4)
    kept = torch.arange(len(values)) >= first
    kept &= (values > 1e-6 * values[0]).cpu()
    if int(kept.sum()) < 3:
        return math.nan
    rank = torch.arange(1, len(values) + 1, dtype=torch.float64)[kept]
    x, y, weight = rank.log(), values.cpu()[kept].log(), 1 / rank
    x = x - (weight * x).sum() / weight.sum()
    return -float((weight * x * y).sum() / (weight * x * x).sum())


def lidar(views: Float[Tensor, "n q d"] | Float[np.ndarray, "n q d"]) -> float:
    """Effective rank of what tells images apart from what tells views of one apart (LiDAR, arXiv 2312.04000).

    ``views``: q embeddings of each of n images. With Sb the covariance of the images' means and Sw the mean covariance
    within an image, plus `WITHIN` of its mean variance on the diagonal: exp of the entropy of the shares of the
    eigenvalues of Sw^-1/2 Sb Sw^-1/2 (eqs. 1 to 5), each without what chance adds to it (`signal`). 1 to
    min(n - 1, d); 0: no direction stands out from the differences between views of one image. NaN if n (q - 1) is not
    more than d: too few views to tell.
    """
    views = as_embeddings(views, "views", shape="N, Q, D").double()
    n, q, d = views.shape
    if q < 2:
        raise UsageError(f"views must be at least 2 of each image, not {q}")
    freedom = n * (q - 1)
    if freedom <= d:
        return math.nan
    means = views.mean(1)
    apart = means - means.mean(0)
    within = (views - means[:, None]).flatten(0, 1)
    inner = within.T @ within / freedom
    floor = WITHIN * inner.diagonal().mean().clamp_min(SHORTEST)
    root = torch.linalg.cholesky(inner + floor * torch.eye(d, dtype=views.dtype, device=views.device))
    alive = float(torch.linalg.solve_triangular(root, within.T, upper=False).square().sum()) / freedom
    whitened = torch.linalg.solve_triangular(root, apart.T, upper=False)
    signals = signal(q * _squared_singular_values(whitened.T) / (n - 1), alive / (n - 1), alive / freedom)
    return _effective(signals / signals.sum()) if bool(signals.any()) else 0.0


def signal(ratios: Spectrum, between: float, within: float) -> Spectrum:
    """What is left of a spectrum when what chance adds to it is taken off: true ratios less 1, 0 where none stands out.

    The mean of q views has a q-th of their noise, so without any signal all ``ratios``, of q Sb to Sw, would be 1. As
    both are estimated, of ``between`` and ``within`` dimensions a degree of freedom, they spread, and each true ratio a
    that can be told from 1 is seen as l = a (a - 1 + between) / (a - 1 - within a) (Wang and Yao, arXiv 1504.05087).
    That is solved for a; it has no solution for what is within the spread.
    """
    half = (1 - between + ratios * (1 - within)) / 2
    inside = half.square() - ratios
    return torch.where((inside > 0) & (half > 0), half + inside.clamp_min(0).sqrt() - 1, 0.0).clamp_min(0)


def alignment(x: Embeddings, y: Embeddings) -> float:
    """Mean squared distance of an image's two embeddings, at length 1: 0 to 4 (arXiv 2005.10242 section 4.1)."""
    x, y = _double(x), _double(y)
    if x.shape != y.shape:
        raise UsageError(f"the two views must have one shape, not {list(x.shape)} and {list(y.shape)}")
    return float((F.normalize(x, eps=SHORTEST) - F.normalize(y, eps=SHORTEST)).square().sum(1).mean())


def uniformity(z: Embeddings) -> float:
    """log of the mean of exp(-2 |a - b|^2) over pairs of images, at length 1 (arXiv 2005.10242 section 4.1, t 2).

    0: all alike; about -4: spread over the whole sphere.
    """
    return float((-2 * torch.pdist(F.normalize(_double(z), eps=SHORTEST)).square()).exp().mean().log())


def mean_cosine(z: Embeddings) -> float:
    """Mean cosine between different images, -1 to 1: (|sum of unit vectors|^2 - N) / (N (N - 1)).

    Two embeddings that are the same are wholly alike, also where both are 0, though that has no direction; 0 and
    another vector have the cosine 0.
    """
    unit, n = F.normalize(_double(z), eps=SHORTEST), len(z)
    zeros = int((unit == 0).all(1).sum())
    alike = unit.sum(0).square().sum() - (n - zeros) + zeros * (zeros - 1)
    return float(alike / (n * (n - 1)))


def energy_share(terms: dict[str, float], energies: Sequence[str] = ENERGIES) -> float:
    """The energy's part of the loss, 0 to 1: |D| / (|D| + |what prevents collapse|); NaN if all terms are zero.

    ``terms`` are a loss's terms by name; those named in ``energies`` are the energy's.
    """
    size = sum(abs(value) for value in terms.values())
    return sum(abs(terms.get(name, 0.0)) for name in energies) / size if size else math.nan


def parameter_distance(target: Iterable[Tensor], online: Iterable[Tensor]) -> float:
    """How far a momentum encoder's weights are from those it follows: |target - online| / |online|, over all."""
    apart = size = 0.0
    for t, o in zip(target, online, strict=True):
        apart += float((t.detach().double() - o.detach().double()).square().sum())
        size += float(o.detach().double().square().sum())
    return math.sqrt(apart / size) if size else math.nan


def prototype_entropy(assigned: Int[Tensor, " n"], prototypes: int) -> float:
    """Entropy of how often each prototype is chosen, from 0 (one takes all) to 1 (as even as N choices can be).

    ``assigned`` [N] has the number of each image's prototype, from 0 to ``prototypes`` - 1; else it is a `UsageError`.
    """
    if not len(assigned) or assigned.min() < 0 or assigned.max() >= prototypes:
        raise UsageError(f"assigned must have numbers from 0 to {prototypes - 1}, one for each image")
    share = torch.bincount(assigned, minlength=prototypes).double() / len(assigned)
    most = math.log(min(len(assigned), prototypes))
    return float(-torch.special.xlogy(share, share).sum()) / most if most else math.nan


def stale_share(age: Int[Tensor, " k"], horizon: float) -> float:
    """Share of a memory's entries whose ``age`` [K] is more than ``horizon`` steps, or -1 (never filled), 0 to 1.

    A negative is stale when the encoder that made it has moved on (arXiv 1911.05722, section 3.1).
    """
    return float(((age < 0) | (age > horizon)).double().mean())


def _squared_singular_values(z: Float[Tensor, "n d"]) -> Float[Tensor, " r"]:
    n, d = z.shape
    squared: Tensor = torch.linalg.eigvalsh(z @ z.T if n < d else z.T @ z)
    return squared.clamp_min(0).flip(0)


def _effective(shares: Tensor) -> float:
    return math.exp(-float(((shares + FLOOR) * (shares + FLOOR).log()).sum()))
