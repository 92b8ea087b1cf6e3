"""How good frozen features are at telling classes apart: probes of plain arrays, for features of any origin.

Features are float tensors or NumPy arrays [N, D], a row for each image; labels are whole numbers or texts [N]. A probe
learns from the training features and is asked about the test features; what it must choose for itself, it chooses on
training features that it holds out. Figures come as a `Score`: a value, its spread, and what the spread is over.

    >>> from sklearn.datasets import load_digits
    >>> from twofold import probes
    >>> x, y = load_digits(return_X_y=True)                      # 1,797 images of 64 pixels
    >>> split = x[:1400], y[:1400], x[1400:], y[1400:]
    >>> score = probes.knn(*split)
    >>> print(f"{score.value:.2f} ± {score.spread:.2f}, over {score.over}")
    0.91 ± 0.01, over 397 test images
    >>> few = probes.few_labels(*split, labels_per_class=(1, 10))
    >>> few[1].value < few[10].value < probes.linear(*split).value
    True
    >>> gain = probes.linear(*split).less(score)                 # of one score over another, by the same test images
    >>> print(f"{gain.value:.3f} ± {gain.spread:.3f}")
    0.005 ± 0.013
    >>> found = probes.label_the_rest(x[:200], y[:200], x[200:])  # classes for all others, of which nothing is known
    >>> guesses = [found.classes[number] for number in found.probabilities.argmax(1)]
    >>> print(f"{sum(map(str.__eq__, guesses, y[200:].astype(str))) / len(guesses):.2f}")
    0.87
"""

from collections.abc import Sequence

from twofold.encoding.extract import Features
from twofold.errors import UsageError
from twofold.evaluation import fewshot, scores
from twofold.evaluation.arrays import Array, Labels, as_maps, as_splits
from twofold.evaluation.clusters import STARTS
from twofold.evaluation.score import Score
from twofold.evaluation.scores import Clustering, Ranking, Segmentation
from twofold.evaluation.transductive import Labelled, label_the_rest

__all__ = [
    "Clustering", "Labelled", "Ranking", "Score", "Segmentation", "clusters", "few_labels", "knn", "label_the_rest",
    "linear", "mlp", "retrieval", "segmentation", "transductive",
]  # fmt: skip


def knn(train: Array, train_labels: Labels, test: Array, test_labels: Labels, k: int | None = None) -> Score:
    """Accuracy of weighted nearest neighbours: votes of exp(cosine / 0.1) (arXiv 1805.01978, section 3.4).

    Args:
        train: features of the training images, float [N, D].
        train_labels: their labels, [N].
        test: features of the test images, float [M, D].
        test_labels: their labels, [M].
        k: how many neighbours vote; by default 200, or as many as a class has training rows on average.

    Raises:
        UsageError: if the arrays are not such features and labels, or there are fewer training rows than ``k``.
    """
    fitting, asked, *_ = as_splits(train, train_labels, test, test_labels)
    if k is not None and not 1 <= k <= len(fitting.labels):
        raise UsageError(f"k must be from 1 to the {len(fitting.labels)} training rows, not {k}")
    return scores.knn(fitting, asked, k)


def linear(
    train: Array,
    train_labels: Labels,
    test: Array,
    test_labels: Labels,
    strength: float | None = None,
    seed: int = 0,
) -> Score:
    """Accuracy of a linear head: multinomial logistic regression, solved to convergence.

    Args:
        train: features of the training images, float [N, D].
        train_labels: their labels, [N].
        test: features of the test images, float [M, D].
        test_labels: their labels, [M].
        strength: the inverse of the regularisation, above 0: scikit-learn's C for features of mean squared norm 1. By
            default the best of 0.1, 1, 10 and 100 on held-out training rows.
        seed: decides which rows are held out.

    Raises:
        UsageError: if the arrays are not such features and labels.
    """
    if strength is not None and not strength > 0:
        raise UsageError(f"strength must be above 0, not {strength:g}")
    fitting, asked, *_ = as_splits(train, train_labels, test, test_labels)
    return scores.linear(fitting, asked, strength, seed)


def mlp(train: Array, train_labels: Labels, test: Array, test_labels: Labels, seed: int = 0) -> Score:
    """Accuracy of a head with one hidden layer, which finds what a linear one may miss: mean and deviation of three.

    Args:
        train: features of the training images, float [N, D].
        train_labels: their labels, [N].
        test: features of the test images, float [M, D].
        test_labels: their labels, [M].
        seed: the first of three seeds, each of which decides the first weights and what is held out.

    Raises:
        UsageError: if the arrays are not such features and labels.
    """
    fitting, asked, *_ = as_splits(train, train_labels, test, test_labels)
    return scores.hidden_layer(fitting, asked, seed)


def few_labels(
    train: Array,
    train_labels: Labels,
    test: Array,
    test_labels: Labels,
    labels_per_class: Sequence[int] = fewshot.SHOTS,
    draws: int = fewshot.DRAWS,
    seed: int = 0,
) -> dict[int, Score]:
    """Accuracy of a linear head from a few labels of each class: mean and deviation over several draws of which.

    Args:
        train: features of the training images, float [N, D]; rows that are not drawn only set the features' scale.
        train_labels: their labels, [N].
        test: features of the test images, float [M, D].
        test_labels: their labels, [M].
        labels_per_class: numbers of labels of each class, each at least 1; a class that has fewer gives all.
        draws: how often the labels are drawn, at least twice.
        seed: decides the draws, together with the labels alone: they are the same for features of any kind.

    Returns:
        The score for each of ``labels_per_class``.

    Raises:
        UsageError: if the arrays are not such features and labels, or a number is too small.
    """
    fitting, asked, *_ = as_splits(train, train_labels, test, test_labels)
    quotas = _quotas(fitting, labels_per_class, draws)
    return {number: scores.few_labels(fitting, asked, *quota, draws, seed) for number, quota in quotas.items()}


def transductive(
    train: Array,
    train_labels: Labels,
    test: Array,
    test_labels: Labels,
    labels_per_class: Sequence[int] = fewshot.SHOTS,
    draws: int = fewshot.DRAWS,
    seed: int = 0,
) -> dict[int, Score]:
    """Accuracy of `label_the_rest` from a few labels of each class: mean and deviation over several draws of which.

    Unlike `few_labels`, which draws the same labels, it looks at all rows at once: the training rows that are not drawn
    and the test rows say, without their labels, which rows are of one kind.

    Args:
        train: features of the training images, float [N, D].
        train_labels: their labels, [N].
        test: features of the test images, float [M, D].
        test_labels: their labels, [M].
        labels_per_class: numbers of labels of each class, each at least 1; a class that has fewer gives all.
        draws: how often the labels are drawn, at least twice.
        seed: decides the draws, together with the labels alone.

    Returns:
        The score for each of ``labels_per_class``.

    Raises:
        UsageError: if the arrays are not such features and labels, or a number is too small.
    """
    fitting, asked, *_ = as_splits(train, train_labels, test, test_labels)
    quotas = {str(number): quota for number, quota in _quotas(fitting, labels_per_class, draws).items()}
    found = scores.few_labels_of_all(fitting, asked, quotas, draws, seed)
    return {int(number): score for number, score in found.items()}


def _quotas(fitting: Features, labels_per_class: Sequence[int], draws: int) -> dict[int, fewshot.Quota]:
    if draws < 2 or not labels_per_class or min(labels_per_class) < 1:
        raise UsageError("few labels need at least 1 label a class, and at least 2 draws, which the spread is over")
    return {number: fewshot.shot(fitting.labels, number) for number in labels_per_class}


def clusters(
    train: Array,
    train_labels: Labels,
    test: Array,
    test_labels: Labels,
    count: int | None = None,
    starts: int = STARTS,
    seed: int = 0,
) -> Clustering:
    """How well clusters, found without labels, match the classes, and how far a few labels in each name them.

    Args:
        train: features of the training images, float [N, D]; they are scaled to length 1 and clustered by k-means.
        train_labels: their labels, [N]; the majority of 1, 2, 5 and 10 of them in a cluster names its class.
        test: features of the test images, float [M, D]; each row belongs to the nearest cluster.
        test_labels: their labels, [M].
        count: the number of clusters, at least 2; by default the number of classes.
        starts: how often k-means starts anew, at least twice; the spread is over these.
        seed: decides the starts and which labels name a cluster.

    Raises:
        UsageError: if the arrays are not such features and labels, or a number is out of range.
    """
    fitting, asked, *_ = as_splits(train, train_labels, test, test_labels)
    count = len(fitting.labels.unique()) if count is None else count
    if not 2 <= count <= len(fitting.labels):
        raise UsageError(f"count must be from 2 to the {len(fitting.labels)} training rows, not {count}")
    if starts < 2:
        raise UsageError(f"starts must be at least 2, which the spread is over, not {starts}")
    return scores.clusters(fitting, asked, count, starts, seed)


def retrieval(train: Array, train_labels: Labels, test: Array, test_labels: Labels) -> Ranking:
    """How well test rows find their class among the training rows, ranked by cosine.

    Args:
        train: features of the training images, float [N, D].
        train_labels: their labels, [N].
        test: features of the test images, float [M, D].
        test_labels: their labels, [M].

    Returns:
        The mean average precision over the whole ranking, and the share of test rows for which the first 1, 5 and 10
        have one of their class.

    Raises:
        UsageError: if the arrays are not such features and labels.
    """
    fitting, asked, *_ = as_splits(train, train_labels, test, test_labels)
    return scores.ranking(fitting, asked)


def segmentation(
    train: Array,
    train_masks: Array | Sequence[Array],
    test: Array,
    test_masks: Array | Sequence[Array],
    strength: float | None = None,
    seed: int = 0,
) -> Segmentation:
    """How well a linear head on the features of patches tells the class of each pixel.

    The head learns from some 16,000 random pixels of the training masks, at most 64 of an image, between whose patches
    features are interpolated; on the test images its scores are interpolated up to the size of the mask.

    Args:
        train: maps of features of the training images, float [N, h, w, D], as in
            ``twofold.features(..., patches=True).maps``.
        train_masks: a mask for each, whole numbers [H, W] of the part that the map is of: classes from 0 to 254, and
            255 for pixels that are ignored.
        test: maps of features of the test images, float [M, h', w', D].
        test_masks: their masks, likewise.
        strength: the inverse of the regularisation, as in `linear`; by default the best of 0.1, 1, 10 and 100 by
            the pixels of held-out training images.
        seed: decides which pixels and which images these are.

    Returns:
        The mean intersection over union (of the classes that occur in the test masks), the share of pixels that are
        right, each with its spread over bootstrap samples of the test images, and what the commonest class alone has.

    Raises:
        UsageError: if the arrays are not such maps and masks, or the training masks have fewer than two classes.
    """
    if strength is not None and not strength > 0:
        raise UsageError(f"strength must be above 0, not {strength:g}")
    fitting, asked = as_maps(train, train_masks, "training"), as_maps(test, test_masks, "test")
    width, other = fitting[0].shape[-1], asked[0].shape[-1]
    if width != other:
        raise UsageError(f"features of {width} numbers cannot be tested on {other} numbers each")
    return scores.segmented([fitting], len(fitting[1]), [asked], strength, seed)
