"""What each protocol of an evaluation measures of one representation: scores, by the names of their rows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from twofold.data.sources import Source, Subset
from twofold.encoding.dense import Patchwise
from twofold.encoding.extract import Features
from twofold.encoding.progress import Tell
from twofold.evaluation import fewshot, finetune, patch_retrieval, scores, segmentation
from twofold.evaluation.clusters import sizes
from twofold.evaluation.patches import maps_of, masked_maps, some_of
from twofold.evaluation.representations import Representation
from twofold.evaluation.score import Score
from twofold.evaluation.scores import Clustering
from twofold.evaluation.titles import balanced_row

UNEVEN = 3
"""Times as many test images as the smallest class has make a class so large that accuracy is mostly its own."""


@dataclass
class Task:
    """One representation of the splits of the data, ``train`` and ``test``, that is to be measured.

    ``splits``: their images, for fine-tuning and for features of patches; nothing else needs them. ``dense``: what
    makes these, if it is asked for and the representation has any. ``notes``: sentences that go with the scores.
    """

    it: Representation
    splits: dict[str, Source]
    seed: int
    tell: Tell
    dense: Patchwise | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def train(self) -> Features:
        return self.it.train

    @property
    def test(self) -> Features:
        return self.it.test

    def readable(self, split: str) -> Source:
        """The images of a split that have features."""
        source, index = self.splits[split], getattr(self, split).index
        return source if len(index) == len(source) else Subset(source, index)

    @cached_property
    def linear(self) -> Score:
        return scores.linear(self.train, self.test, seed=self.seed)


def _knn(task: Task) -> dict[str, Score]:
    return _of_classes("knn", scores.knn(task.train, task.test), task)


def _linear(task: Task) -> dict[str, Score]:
    return _of_classes("linear", task.linear, task)


def _of_classes(row: str, score: Score, task: Task) -> dict[str, Score]:
    """An accuracy, and beside it the balanced one where the sizes of the classes differ much."""
    images = task.test.labels.unique(return_counts=True)[1]
    balanced = score.balanced if images.max() >= UNEVEN * images.min() else None
    return {row: score} | ({balanced_row(row): balanced} if balanced else {})


def _mlp(task: Task) -> dict[str, Score]:
    return {"mlp": scores.hidden_layer(task.train, task.test, task.seed, task.tell)}


def _finetune(task: Task) -> dict[str, Score]:
    if task.it.start is None:
        return {}
    train, test, labels = task.readable("train"), task.readable("test"), task.train.labels
    predicted, rate = finetune.fine_tune(task.it.start, train, labels, test, task.seed, task.tell)
    over = "seeds of the head, order and crops"
    chosen = {"rate": rate}
    return {"finetune": Score.of_attempts(predicted, task.test.labels, over, labels=len(train), chosen=chosen)}


def _fewshot(task: Task) -> dict[str, Score]:
    quotas, _ = fewshot.quotas(task.train.labels)
    found: dict[str, Score] = {}
    for done, (row, (quota, total)) in enumerate(quotas.items()):
        task.tell(row, done, len(quotas) + 1)
        found |= _of_classes(row, scores.few_labels(task.train, task.test, quota, total, seed=task.seed), task)
    return found | _of_classes("all_labels", task.linear, task)


def _transductive(task: Task) -> dict[str, Score]:
    quotas, _ = fewshot.quotas(task.train.labels)
    named = {row.replace("few", "transductive"): quota for row, quota in quotas.items()}
    found = scores.few_labels_of_all(task.train, task.test, named, seed=task.seed, tell=task.tell)
    return {name: score for row, own in found.items() for name, score in _of_classes(row, own, task).items()}


def _clusters(task: Task) -> dict[str, Score]:
    train, test = task.train, task.test
    found: dict[str, Score] = {}
    for count in sizes(len(train.labels), len(train.labels.unique())):
        grouped = scores.clusters(train, test, count, seed=task.seed, tell=task.tell)
        found |= _rows_of(f"clusters_{count}", grouped)
    if task.it.prototypes is not None:
        count = len(task.it.prototypes.weight)
        found |= _rows_of("prototypes", scores.prototypes(train, test, task.it.prototypes, count, task.seed))
    return found


def _rows_of(name: str, grouped: Clustering) -> dict[str, Score]:
    named = {f"{name}_labels_{shots}": score for shots, score in grouped.named.items()}
    return {f"{name}_nmi": grouped.nmi, f"{name}_ari": grouped.ari, **named}


def _retrieval(task: Task) -> dict[str, Score]:
    ranking = scores.ranking(task.train, task.test, task.tell)
    recall = {f"recall_at_{depth}": score for depth, score in ranking.recall.items()}
    return {"retrieval_map": ranking.mean_average_precision, **recall}


def _segmentation(task: Task) -> dict[str, Score]:
    if task.dense is None:
        return {}
    train, test = (task.splits[split] for split in ("train", "test"))
    numbers = some_of(train.masked, segmentation.IMAGES, task.seed, "train")
    found = scores.segmented(
        masked_maps(train, numbers, task.dense, task.tell, "training images"),
        len(numbers),
        masked_maps(test, test.masked, task.dense, task.tell, "test images"),
        seed=task.seed,
    )
    iou, share = (f"{100 * value:.1f} %" for value in found.commonest)
    task.notes.append(
        f"segmentation, every pixel taken for the commonest class: mean IoU {iou}, pixel accuracy {share}"
    )
    return {"segmentation_miou": found.mean_iou, "segmentation_accuracy": found.pixel_accuracy}


def _patch_retrieval(task: Task) -> dict[str, Score]:
    if task.dense is None:
        return {}
    drawn = {}
    for split, most in (("train", patch_retrieval.BANK), ("test", patch_retrieval.QUERIES)):
        source, labels = task.readable(split), getattr(task, split).labels
        numbers = some_of(range(len(source)), most, task.seed, split)
        batches = maps_of(source, numbers, task.dense, task.tell, f"{split} images")
        patches, owners = patch_retrieval.sample_patches(batches, numbers, most, task.seed, split)
        drawn[split] = patches, labels[owners], owners
    return {"patch_retrieval": scores.patches_retrieved(*drawn["train"][:2], *drawn["test"])}


PROTOCOLS: dict[str, Callable[[Task], dict[str, Score]]] = {
    "knn": _knn,
    "linear": _linear,
    "mlp": _mlp,
    "finetune": _finetune,
    "fewshot": _fewshot,
    "transductive": _transductive,
    "clusters": _clusters,
    "retrieval": _retrieval,
    "segmentation": _segmentation,
    "patch_retrieval": _patch_retrieval,
}
"""Each gives scores by the names of their rows, whose titles are in `titles`; none where a representation is not made
for it."""

DRAWN = ("fewshot", "transductive")
"""Protocols that draw a few of the labels."""
DENSE = ("segmentation", "patch_retrieval")
"""Protocols on features of patches."""
UNLABELLED = ("segmentation",)
"""Protocols that need no labels of images."""
