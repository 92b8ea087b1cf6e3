"""What each protocol measures of one representation: rows of figures, and what their spread is over."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from twofold import rng
from twofold.data.sources import Source, Subset
from twofold.encoding.extract import Features
from twofold.encoding.progress import Tell
from twofold.evaluation import clusters, fewshot, finetune, mlp, retrieval
from twofold.evaluation.knn import accuracy, knn_predict, neighbours
from twofold.evaluation.linear import fit_probe
from twofold.evaluation.representations import Representation

BOOTSTRAPS = 20

Score = dict[str, Any]
"""``metric``, ``value`` (0 to 1), ``spread``, what the spread is ``over``, how many ``labels`` were used, where their
number is part of the question, and what was chosen on the way."""


@dataclass
class Task:
    """One representation, measured on the labelled splits, ``train`` and ``test``, that it was computed of."""

    it: Representation
    splits: dict[str, Source]
    seed: int
    tell: Tell

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

    def right(self, predicted: Tensor) -> float:
        return accuracy(predicted, self.test.labels)

    @cached_property
    def linear(self) -> Score:
        probe = fit_probe(self.train.values, self.train.labels, seed=self.seed)
        score = self.single(self.right(probe.predict(self.test.values)))
        return score | {"labels": len(self.train.index), "C": probe.strength}

    def single(self, share: float, metric: str = "accuracy") -> Score:
        """A share of the test images and its standard error: what another test set of this size could change."""
        images = len(self.test.index)
        return _score(share, math.sqrt(share * (1 - share) / images), f"{images} test images", metric)


def _score(value: float, spread: float, over: str, metric: str = "accuracy") -> Score:
    return {"metric": metric, "value": value, "spread": spread, "over": over}


def _several(values: list[float], over: str, metric: str = "accuracy") -> Score:
    """Mean and standard deviation."""
    return _score(statistics.fmean(values), statistics.stdev(values), f"{len(values)} {over}", metric)


def _knn(task: Task) -> dict[str, Score]:
    train = task.train
    predicted = knn_predict(train.values, train.labels, task.test.values)
    k = neighbours(len(train.values), len(train.labels.unique()))
    return {"knn": task.single(task.right(predicted)) | {"labels": len(train.index), "k": k}}


def _linear(task: Task) -> dict[str, Score]:
    return {"linear": task.linear}


def _mlp(task: Task) -> dict[str, Score]:
    train = task.train
    predicted, rate = mlp.fit_heads(train.values, train.labels, task.test.values, task.seed, task.tell)
    scores = [task.right(labels) for labels in predicted]
    return {"mlp": _several(scores, "seeds of the head") | {"labels": len(train.index), "rate": rate}}


def _finetune(task: Task) -> dict[str, Score]:
    if task.it.start is None:
        return {}
    train, test, labels = task.readable("train"), task.readable("test"), task.train.labels
    predicted, rate = finetune.fine_tune(task.it.start, train, labels, test, task.seed, task.tell)
    scores = [task.right(found) for found in predicted]
    return {"finetune": _several(scores, "seeds of the head, order and crops") | {"labels": len(train), "rate": rate}}


def _few_shot(task: Task) -> dict[str, Score]:
    train, test, scores = task.train, task.test, {}
    rows, _ = fewshot.quotas(train.labels)
    for done, (name, (quota, total)) in enumerate(rows.items()):
        task.tell(name, done, len(rows) + 1)
        chosen = fewshot.draws(train.labels, quota, total, task.seed)
        drawn = fewshot.few_shot(train.values, train.labels, test.values, test.labels, chosen)
        scores[name] = _several(drawn, "draws of the labels") | {"labels": total}
    return scores | {"all labels": task.linear}


def _clusters(task: Task) -> dict[str, Score]:
    train, test = task.train, task.test
    scores: dict[str, Score] = {}
    for size in clusters.sizes(len(train.index), len(train.labels.unique())):
        groupings = []
        for start in range(clusters.STARTS):
            task.tell(f"{size} clusters", start, clusters.STARTS)
            found = clusters.kmeans(train.values, size, rng.fold(task.seed, "start", start))
            middle = clusters.centres(train.values, found, size)
            groupings.append((found, clusters.nearest_centre(test.values, middle)))
        scores |= {f"{size} clusters, {name}": score for name, score in _grouped(task, groupings, size)}
    if task.it.prototypes is not None:
        own = _assigned(task.it.prototypes, train.values), _assigned(task.it.prototypes, test.values)
        size = len(task.it.prototypes.weight)
        scores |= {f"prototypes, {name}": score for name, score in _grouped(task, [own], size)}
    return scores


def _assigned(prototypes: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([prototypes(rows).argmax(1) for rows in values.split(4096)])


def _grouped(task: Task, groupings: list[tuple[Tensor, Tensor]], size: int) -> Iterator[tuple[str, Score]]:
    """The rows of one or several groupings of training and test images into ``size`` clusters."""
    truth = task.test.labels.numpy()
    for metric, measure in (("NMI", normalized_mutual_info_score), ("ARI", adjusted_rand_score)):
        values = [float(measure(truth, test.numpy())) for _, test in groupings]
        if len(groupings) > 1:
            yield metric, _several(values, "starts of k-means", metric)
        else:
            generator = rng.generator(task.seed, "bootstrap")
            again = [torch.randint(len(truth), (len(truth),), generator=generator).numpy() for _ in range(BOOTSTRAPS)]
            spread = statistics.stdev(float(measure(truth[rows], groupings[0][1].numpy()[rows])) for rows in again)
            yield metric, _score(values[0], spread, f"{BOOTSTRAPS} bootstrap samples of the test images", metric)
    filled = min(len(train.unique()) for train, _ in groupings)
    for shots in clusters.LABELS:
        if filled * shots > len(task.train.index) / 2:
            return
        scores, used = [], []
        for draw in range(clusters.DRAWS):
            train, test = groupings[draw % len(groupings)]
            names, count = clusters.named(train, task.train.labels, size, shots, task.seed, draw)
            scores.append(task.right(names[test]))
            used.append(count)
        over = "draws of the labels" + (f", {len(groupings)} starts of k-means" if len(groupings) > 1 else "")
        score = _several(scores, over) | {"labels": round(statistics.fmean(used))}
        yield f"{shots} label{'s' * (shots > 1)} each", score


def _retrieval(task: Task) -> dict[str, Score]:
    train, test = task.train, task.test
    precision, found = retrieval.rank(train.values, train.labels, test.values, test.labels, task.tell)
    error = float(precision.std(correction=0)) / math.sqrt(max(1, len(precision) - 1))
    over = f"{len(precision)} test images"
    scores = {"retrieval, mAP": _score(float(precision.mean()), error, over, "mean average precision")}
    for depth, share in zip(retrieval.DEPTHS, found.mean(0).tolist(), strict=True):
        scores[f"retrieval, recall at {depth}"] = task.single(share, f"recall at {depth}")
    return scores


PROTOCOLS: dict[str, Callable[[Task], dict[str, Score]]] = {
    "knn": _knn,
    "linear": _linear,
    "mlp": _mlp,
    "finetune": _finetune,
    "fewshot": _few_shot,
    "clusters": _clusters,
    "retrieval": _retrieval,
}
"""Each gives rows by their titles; none where the representation is not made for it."""
