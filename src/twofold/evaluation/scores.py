"""What frozen features are worth: each probe's figure, its spread, and what the spread is over.

Each function takes `Features` of labelled training and test images, and gives scores. Nothing in it is chosen by the
test labels.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from twofold import rng
from twofold.encoding.extract import Features
from twofold.encoding.progress import Tell, silent
from twofold.evaluation import clusters as grouping
from twofold.evaluation import fewshot, mlp, patch_retrieval, retrieval, segmentation, transductive
from twofold.evaluation.knn import knn_predict, neighbours
from twofold.evaluation.linear import fit_probe
from twofold.evaluation.score import Score

BOOTSTRAPS = 20
"""samples of the test images, for the spread of a measure of a single grouping"""


@dataclass(frozen=True)
class Clustering:
    """How well clusters match the classes.

    Attributes:
        nmi: the normalised mutual information of clusters and classes, 0 to 1.
        ari: the adjusted Rand index, 1 at most and about 0 for chance.
        named: by the number of labelled images in each cluster, the accuracy when their majority names it.
    """

    nmi: Score
    ari: Score
    named: dict[int, Score]


@dataclass(frozen=True)
class Ranking:
    """How well test images find their class among the training images.

    Attributes:
        mean_average_precision: over the whole ranking, 0 to 1.
        recall: by depth k (1, 5, 10), the share of test images with one of their class among the first k.
    """

    mean_average_precision: Score
    recall: dict[int, Score]


@dataclass(frozen=True)
class Segmentation:
    """How well a linear head on patches tells the class of each pixel of the test images.

    Attributes:
        mean_iou: the mean of ``iou``.
        pixel_accuracy: the share of the pixels that are right.
        iou: the intersection over union of each class that occurs in the test masks, 0 to 1.
        commonest: the mean intersection over union and the pixel accuracy of taking every pixel for the commonest
            training class.
    """

    mean_iou: Score
    pixel_accuracy: Score
    iou: dict[int, float]
    commonest: tuple[float, float]


def knn(train: Features, test: Features, k: int | None = None) -> Score:
    """Weighted nearest neighbours; ``k`` as `neighbours` has it by default."""
    k = neighbours(train.labels.unique(return_counts=True)[1]) if k is None else k
    predicted = knn_predict(train.values, train.labels, test.values, k)
    return Score.of_predictions(predicted, test.labels, labels=len(train.labels), chosen={"k": k})


def linear(train: Features, test: Features, strength: float | None = None, seed: int = 0) -> Score:
    """A linear probe, of the given inverse regularisation or of the one chosen on held-out training images."""
    probe = fit_probe(train.values, train.labels, strength, seed)
    chosen = {"strength": probe.strength}
    return Score.of_predictions(probe.predict(test.values), test.labels, labels=len(train.labels), chosen=chosen)


def hidden_layer(train: Features, test: Features, seed: int = 0, tell: Tell = silent) -> Score:
    """Heads with one hidden layer, several seeds of them."""
    predicted, rate = mlp.fit_heads(train.values, train.labels, test.values, seed, tell)
    chosen, labels = {"rate": rate}, len(train.labels)
    return Score.of_attempts(predicted, test.labels, "seeds of the head", labels=labels, chosen=chosen)


def few_labels(
    train: Features, test: Features, quota: Tensor, total: int, draws: int = fewshot.DRAWS, seed: int = 0
) -> Score:
    """A linear probe from ``total`` labels, ``quota`` [K] of them from each class, over several draws of which."""
    chosen = fewshot.draws(train.labels, quota, total, seed, draws)
    predicted = fewshot.few_shot(train.values, train.labels, test.values, chosen)
    return Score.of_attempts(predicted, test.labels, "draws of the labels", labels=total)


def few_labels_of_all(
    train: Features,
    test: Features,
    quotas: Mapping[str, fewshot.Quota],
    draws: int = fewshot.DRAWS,
    seed: int = 0,
    tell: Tell = silent,
) -> dict[str, Score]:
    """Accuracy when a few labels spread over training and test images, averaged with the linear probe (`transductive`).

    It is measured for each of ``quotas``, by its name. The labels are those that `few_labels` draws.
    """
    features, names = torch.cat([train.values, test.values]), train.labels.unique()
    graph = transductive.graph_of(features)
    found = {}
    for done, (row, (quota, total)) in enumerate(quotas.items()):
        tell(row, done, len(quotas))
        chosen = fewshot.draws(train.labels, quota, total, seed, draws)
        answers = transductive.probabilities(features, graph, train.labels, chosen)
        predicted = [names[answer[len(train.values) :].argmax(1)] for answer in answers]
        found[row] = Score.of_attempts(predicted, test.labels, "draws of the labels", labels=total)
    return found


def clusters(
    train: Features,
    test: Features,
    count: int,
    starts: int = grouping.STARTS,
    seed: int = 0,
    tell: Tell = silent,
) -> Clustering:
    """k-means of the training images into ``count`` clusters, from several starts; test images go to the nearest."""
    found = []
    for start in range(starts):
        tell(f"{count} clusters", start, starts)
        members = grouping.kmeans(train.values, count, rng.fold(seed, "start", start))
        centres = grouping.centres(train.values, members, count)
        found.append((members, grouping.nearest_centre(test.values, centres)))
    return _clustering(train, test, found, count, seed)


def prototypes(
    train: Features, test: Features, compare: Callable[[Tensor], Tensor], count: int, seed: int = 0
) -> Clustering:
    """The clusters of a method's own prototypes; ``compare``: features [N, D] to similarities [N, count]."""
    with torch.inference_mode():
        members, asked = (
            torch.cat([compare(block).argmax(1) for block in split.values.split(4096)]) for split in (train, test)
        )
    return _clustering(train, test, [(members, asked)], count, seed)


def ranking(train: Features, test: Features, tell: Tell = silent) -> Ranking:
    """Every test image ranks the training images by the cosine of their features."""
    precision, found = retrieval.rank(train.values, train.labels, test.values, test.labels, tell)
    images = len(precision)
    error = float(precision.std(correction=0)) / math.sqrt(max(1, images - 1))
    over = f"{images} test images"
    shares = dict(zip(retrieval.DEPTHS, zip(found.mean(0).tolist(), found.T.bool(), strict=True), strict=True))
    return Ranking(
        Score(float(precision.mean()), error, over, "mean average precision", each=precision[None]),
        {
            depth: Score.of_share(share, images, metric=f"recall at {depth}", each=right[None])
            for depth, (share, right) in shares.items()
        },
    )


def segmented(
    train: segmentation.Maps, images: int, test: segmentation.Maps, strength: float | None = None, seed: int = 0
) -> Segmentation:
    """A linear head on the patches of so many training ``images``, on those of the test images."""
    pixels = segmentation.sample_pixels(train, images, seed)
    head = segmentation.fit_head(pixels, strength, seed)
    counts = segmentation.count(head, test)
    classes, ious = segmentation.overlaps(counts)
    labels, over = len(pixels.classes), f"{BOOTSTRAPS} bootstrap samples of the test images"
    samples = [counts[rows] for rows in _bootstraps(len(counts), seed)]
    samples = [sample for sample in samples if sample[:, 1].any()]

    def score(metric: str, measure: Callable[[Tensor], float]) -> Score:
        spread = statistics.stdev(map(measure, samples)) if len(samples) > 1 else 0.0
        return Score(measure(counts), spread, over, metric, labels, {"strength": head.strength})

    return Segmentation(
        score("mean IoU", lambda them: float(segmentation.overlaps(them)[1].mean())),
        score("pixel accuracy", segmentation.accuracy),
        dict(zip(classes.tolist(), ious.tolist(), strict=True)),
        segmentation.of_commonest(counts, pixels),
    )


def patches_retrieved(bank: Tensor, bank_labels: Tensor, asked: Tensor, labels: Tensor, owners: Tensor) -> Score:
    """The share of a patch's class among the nearest patches of a bank: the mean over test images of their patches'.

    ``bank`` [P, D] with its images' labels [P]; ``asked`` [Q, D] with their images' labels [Q] and numbers [Q].
    """
    k = min(patch_retrieval.NEAREST, len(bank))
    right = patch_retrieval.shares(bank, bank_labels, asked, labels, k)
    _, image = owners.unique(return_inverse=True)
    means = torch.zeros(int(image.max()) + 1).index_add_(0, image, right) / image.bincount()
    error = float(means.std(correction=0)) / math.sqrt(max(1, len(means) - 1))
    over = f"{len(means)} test images"
    return Score(float(means.mean()), error, over, "precision", len(bank), {"k": k}, each=means[None])


def _clustering(
    train: Features, test: Features, groupings: list[tuple[Tensor, Tensor]], count: int, seed: int
) -> Clustering:
    """Of one or several groupings of training and test images, numbers [N] and [M] below ``count``."""
    named = {}
    filled = min(len(members.unique()) for members, _ in groupings)
    for shots in grouping.LABELS:
        if filled * shots > len(train.labels) / 2:
            break
        predicted, used = [], []
        for draw in range(grouping.DRAWS):
            members, asked = groupings[draw % len(groupings)]
            names, labels = grouping.named(members, train.labels, count, shots, seed, draw)
            predicted.append(names[asked])
            used.append(labels)
        over = "draws of the labels" + (f", {len(groupings)} starts of k-means" if len(groupings) > 1 else "")
        named[shots] = Score.of_attempts(predicted, test.labels, over, labels=round(statistics.fmean(used)))
    nmi = _agreement("NMI", normalized_mutual_info_score, test.labels, groupings, seed)
    ari = _agreement("ARI", adjusted_rand_score, test.labels, groupings, seed)
    return Clustering(nmi, ari, named)


def _agreement(
    metric: str,
    measure: Callable[[Any, Any], float],
    labels: Tensor,
    groupings: list[tuple[Tensor, Tensor]],
    seed: int,
) -> Score:
    """A measure of groupings against the classes of the test images; its spread over starts, or over bootstraps."""
    truth = labels.numpy()
    values = [float(measure(truth, asked.numpy())) for _, asked in groupings]
    if len(groupings) > 1:
        return Score.of_several(values, "starts of k-means", metric=metric)
    asked = groupings[0][1].numpy()
    samples = [rows.numpy() for rows in _bootstraps(len(truth), seed)]
    spread = statistics.stdev(float(measure(truth[rows], asked[rows])) for rows in samples)
    return Score(values[0], spread, f"{BOOTSTRAPS} bootstrap samples of the test images", metric)


def _bootstraps(images: int, seed: int) -> list[Tensor]:
    """`BOOTSTRAPS` samples of so many test images, drawn with replacement: their numbers."""
    generator = rng.generator(seed, "bootstrap")
    return [torch.randint(images, (images,), generator=generator) for _ in range(BOOTSTRAPS)]
