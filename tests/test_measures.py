"""Each measure on embeddings whose answer is known."""

import doctest
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.spatial.distance import pdist

from twofold import measures
from twofold.errors import UsageError

N, D = 200, 16
RANDOM = torch.Generator().manual_seed(0)


def orthogonal(n, d):
    """Columns of length 1, orthogonal to each other and of mean zero: [n, d]."""
    columns = torch.randn(n, d, dtype=torch.float64, generator=RANDOM)
    return torch.linalg.qr(columns - columns.mean(0))[0]


def with_spectrum(values, n=N):
    """Embeddings whose covariance has these eigenvalues, in directions of no special kind."""
    turn = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64, generator=RANDOM))[0]
    return orthogonal(n, len(values)) * torch.tensor(values, dtype=torch.float64).sqrt() * n**0.5 @ turn


ALONE = ("alpha_req", "covariance_spectrum", "dead_dimensions", "deviations", "mean_cosine", "of_embeddings", "rankme",
         "rounding", "spread", "uniformity")  # fmt: skip
"""measures of one set of embeddings"""


def test_the_example_is_true():
    done = doctest.testmod(measures)
    assert done.attempted > 5
    assert done.failed == 0


@pytest.mark.parametrize("name", ALONE)
def test_arrays_are_as_good_as_tensors(name):
    """Whatever their order in memory, and whether they may be written to."""
    measure, z = getattr(measures, name), torch.randn(50, 6, generator=RANDOM)
    array = z.numpy()
    array.flags.writeable = False
    torch.testing.assert_close(measure(array), measure(z))
    torch.testing.assert_close(measure(np.asfortranarray(array)), measure(z))


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize(
    ("z", "words"),
    [
        (torch.randn(10), r"must have the shape \[N, D\], not \[10\]"),
        (torch.randn(10, 0), r"must have the shape \[N, D\], not \[10, 0\]"),
        (torch.randn(1, 5), "must have at least 2 rows, not 1"),
        (np.full((5, 2), np.nan), "hold values that are not finite"),
        (np.ones((5, 2), int), "must be a tensor or an array of floats, not of int64"),
        ([[1.0, 2.0]], "must be a tensor or an array of floats, not a list"),
    ],
)
def test_what_are_no_embeddings_is_one_line(name, z, words):
    with pytest.raises(UsageError, match=words) as caught:
        getattr(measures, name)(z)
    assert "\n" not in str(caught.value)


def test_views_that_cannot_be_compared_are_one_line():
    with pytest.raises(UsageError, match=r"one shape, not \[5, 3\] and \[5, 4\]"):
        measures.alignment(torch.ones(5, 3), torch.ones(5, 4))
    with pytest.raises(UsageError, match="at least 2 of each image"):
        measures.lidar(torch.ones(5, 1, 3))
    with pytest.raises(UsageError, match=r"views must have the shape \[N, Q, D\]"):
        measures.lidar(torch.ones(5, 3))


def test_all_measures_at_once_are_each_alone():
    z = torch.randn(60, 9, generator=RANDOM)
    found = measures.of_embeddings(z.numpy())
    alone = {"rank": "rankme", "alpha": "alpha_req", "uniformity": "uniformity", "cosine": "mean_cosine"}
    assert all(found[name] == getattr(measures, measure)(z) for name, measure in alone.items())
    assert found["rank_limit"] == 9


CONSTANT = torch.randn(1, D, generator=RANDOM).expand(N, D)


def test_a_constant_output():
    assert measures.spread(CONSTANT) == pytest.approx(0, abs=1e-6)
    assert measures.dead_dimensions(CONSTANT) == 1
    assert measures.deviations(CONSTANT).max() < 1e-6
    assert measures.covariance_spectrum(CONSTANT).abs().max() == 0
    assert measures.rankme(CONSTANT) == pytest.approx(1, abs=1e-3)
    assert measures.mean_cosine(CONSTANT) == pytest.approx(1)
    assert measures.uniformity(CONSTANT) == pytest.approx(0, abs=1e-6)
    assert measures.alignment(CONSTANT, CONSTANT) == 0
    assert math.isnan(measures.alpha_req(CONSTANT))
    zero = torch.zeros(N, D)
    assert (measures.spread(zero), measures.dead_dimensions(zero)) == (0, 1)


@pytest.mark.parametrize("rank", [1, 3, 16])
def test_rank_k(rank):
    z = with_spectrum([1.0] * rank + [0.0] * (D - rank))
    assert measures.rankme(z) == pytest.approx(rank, abs=1e-3)
    spectrum = measures.covariance_spectrum(z)
    torch.testing.assert_close(spectrum[:rank], torch.full((rank,), 1 / rank, dtype=torch.float64))
    assert spectrum[rank:].sum() < 1e-12
    assert measures.spread(z) == pytest.approx(1)


def test_an_isotropic_cloud():
    z = torch.randn(4000, D, generator=RANDOM)
    assert measures.rankme(z) == pytest.approx(D, rel=0.01)
    assert measures.dead_dimensions(z) == 0
    assert measures.mean_cosine(z) == pytest.approx(0, abs=0.01)
    torch.testing.assert_close(measures.deviations(z), torch.ones(D, dtype=torch.float64), atol=0.05, rtol=0)
    assert measures.uniformity(z) < -3
    assert measures.alignment(z, -z) == pytest.approx(4)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_a_power_law(alpha):
    values = (np.arange(1, 101) ** -alpha).tolist()
    z = with_spectrum(values)
    spectrum = measures.covariance_spectrum(z)
    torch.testing.assert_close(spectrum, torch.tensor(values, dtype=torch.float64) / sum(values))
    assert measures.alpha_req(z) == pytest.approx(alpha, rel=1e-6)
    bent = torch.cat([torch.full((10,), 50.0), spectrum[10:]])  # the head does not count
    assert measures.power_law(bent / bent.sum()) == pytest.approx(alpha, rel=1e-6)


def test_rank_and_spectrum_are_the_same_from_either_gram_matrix():
    wide = torch.randn(20, 50, generator=RANDOM)
    values = np.linalg.svd(wide.double().numpy(), compute_uv=False)
    share = values / values.sum() + 1e-7
    assert measures.rankme(wide) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-6)
    assert measures.rankme(wide.T) == pytest.approx(measures.rankme(wide), rel=1e-6)
    covariance = np.linalg.eigvalsh(np.cov(wide.double().numpy(), rowvar=False))[::-1][:20]
    np.testing.assert_allclose(measures.covariance_spectrum(wide), covariance / covariance.sum(), atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 3.0, 10.0])
def test_rounding_is_no_direction(offset):
    """Two directions and a mean far from 0, as networks in bfloat16 give them: two, whatever the rounding adds."""
    z = torch.randn(512, 2, generator=RANDOM) @ torch.randn(2, 256, generator=RANDOM) + offset
    low = z.bfloat16()
    assert measures.effective_rank(measures.covariance_spectrum(low, measures.rounding(low))) < 2.2
    many = torch.randn(512, 256, generator=RANDOM).bfloat16()
    exact = measures.effective_rank(measures.covariance_spectrum(many))
    assert measures.effective_rank(measures.covariance_spectrum(many, measures.rounding(many))) == pytest.approx(exact)


def test_dead_dimensions_are_those_that_hardly_vary():
    z = torch.randn(N, D, generator=RANDOM)
    z[:, :4] = 3 + 1e-3 * z[:, :4]
    assert measures.dead_dimensions(z) == 0.25
    assert measures.dead_dimensions(1000 * z) == 0.25


def clouds(n, q, d, signals):
    """q views of each of n images: images differ by these variances, views by 1 in each dimension, then all mixed."""
    centres = torch.zeros(n, 1, d, dtype=torch.float64)
    centres[:, 0, : len(signals)] = torch.randn(n, len(signals), dtype=torch.float64, generator=RANDOM)
    centres[:, 0, : len(signals)] *= torch.tensor(signals, dtype=torch.float64).sqrt()
    views = centres + torch.randn(n, q, d, dtype=torch.float64, generator=RANDOM)
    mixing = torch.randn(d, d, dtype=torch.float64, generator=RANDOM) + 3 * torch.eye(d, dtype=torch.float64)
    return views @ mixing


def test_lidar_is_its_papers_formula_of_what_stands_out():
    """Against generalised eigenvalues, and the root of what a true ratio is seen as, found by a polynomial."""
    n, q, d = 60, 4, 12
    views = clouds(n, q, d, [20.0, 9.0, 4.0, 0.05])
    x = views.numpy()
    means = x.mean(1)
    between = sum(np.outer(m - means.mean(0), m - means.mean(0)) for m in means) / (n - 1)
    within = sum(np.outer(v - m, v - m) for vs, m in zip(x, means, strict=True) for v in vs) / (n * (q - 1))
    floored = within + 1e-4 * np.trace(within) / d * np.eye(d)
    alive = np.trace(np.linalg.solve(floored, within))
    c, y = alive / (n - 1), alive / (n * (q - 1))
    signals = []
    for seen in scipy.linalg.eigh(q * between, floored, eigvals_only=True):
        roots = np.roots([1, c - 1 - seen * (1 - y), seen])  # of seen (a - 1 - y a) = a (a - 1 + c)
        if np.isreal(roots).all() and roots.max() > 1:
            signals.append(roots.max() - 1)
    assert len(signals) == 3  # the fourth is lost in what chance makes of twelve dimensions
    share = np.array(signals) / sum(signals)
    assert measures.lidar(views) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-4)
    assert measures.lidar(1000 * views) == pytest.approx(measures.lidar(views), rel=1e-6)


@pytest.mark.parametrize(
    ("images", "dimensions", "signals", "low", "high"),
    [
        (1000, 64, [1.0] * 20, 0.95, 1.0),
        (1000, 256, [1.0] * 50, 0.93, 1.0),
        (1000, 256, [10.0] * 50, 0.95, 1.0),
        (1000, 256, [3.0] * 5, 0.95, 1.05),
        (400, 256, [3.0] * 20, 0.93, 1.0),
        (1000, 256, [0.25] * 50, 0.1, 1.0),  # directions as weak as this are not all told from chance
    ],
)
def test_lidar_of_five_views_has_no_more_directions_than_there_are(images, dimensions, signals, low, high):
    """Of known ones, as shares; with what a mean of five views has of their noise there were many times more."""
    found = measures.lidar(clouds(images, 5, dimensions, signals))
    assert low <= found / len(signals) <= high


def test_lidar_of_noise_is_none():
    assert measures.lidar(clouds(300, 5, 64, [])) == 0
    assert math.isnan(measures.lidar(clouds(20, 4, 60, [1.0])))


def test_pairs_are_counted_once_and_never_with_themselves():
    z = torch.randn(30, 5, generator=RANDOM)
    unit = torch.nn.functional.normalize(z.double())
    cosines = [float(unit[i] @ unit[j]) for i in range(30) for j in range(30) if i != j]
    assert measures.mean_cosine(z) == pytest.approx(np.mean(cosines))
    assert measures.uniformity(z) == pytest.approx(math.log(np.exp(-2 * pdist(unit.numpy()) ** 2).mean()))


def test_what_a_loss_is_made_of():
    assert measures.energy_share({"energy": 3.0, "variance": 1.0}) == 0.75
    assert measures.energy_share({"attraction": -1.0, "repulsion": 4.0}) == 0.2
    assert math.isnan(measures.energy_share({"energy": 0.0}))


def test_distance_of_weights():
    online = [torch.tensor([3.0, 0]), torch.tensor([[4.0]])]
    assert measures.parameter_distance([p.clone() for p in online], online) == 0
    assert measures.parameter_distance([0 * p for p in online], online) == 1
    assert measures.parameter_distance([torch.tensor([3.0, 1]), torch.tensor([[4.0]])], online) == 0.2


def test_distance_of_the_weights_of_two_modules():
    online, target = (torch.nn.Linear(3, 3) for _ in "xy")
    expected = measures.parameter_distance([*target.parameters()], [*online.parameters()])
    assert measures.parameter_distance(target.parameters(), online.parameters()) == expected > 0


def test_use_of_prototypes():
    assert measures.prototype_entropy(torch.zeros(50, dtype=torch.long), 10) == 0
    assert measures.prototype_entropy(torch.arange(50) % 10, 10) == pytest.approx(1)
    assert measures.prototype_entropy(torch.arange(50), 3000) == pytest.approx(1)
    assert measures.prototype_entropy(torch.arange(50) % 2, 10) == pytest.approx(math.log(2) / math.log(10))
    for wrong in ([0, 10], [-1, 3], []):
        with pytest.raises(UsageError, match="numbers from 0 to 9"):
            measures.prototype_entropy(torch.tensor(wrong, dtype=torch.long), 10)


def test_stale_entries():
    age = torch.tensor([0, 1, 5, 10, -1])
    assert measures.stale_share(age, 4.0) == 0.6
    assert measures.stale_share(age, 100.0) == 0.2


def test_the_cosine_of_what_is_0():
    """Zeros are alike, and like nothing else; among other vectors they count as cosines of 0."""
    assert measures.mean_cosine(torch.zeros(20, 8)) == 1
    two = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    assert measures.mean_cosine(two) == pytest.approx(2 / 6)
    assert measures.mean_cosine(two[1:]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("length", [1e-20, 1e20])
def test_directions_do_not_depend_on_lengths(length):
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
    for measure in (measures.mean_cosine, measures.uniformity, lambda z: measures.alignment(z, z.flip(0))):
        assert measure(length * z) == pytest.approx(measure(z))
