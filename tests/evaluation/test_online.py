"""The score while pretraining is that of `knn` on fixed images, a fifth of which ask the others."""

import pytest
import torch

from twofold.data.opening import open_data
from twofold.data.sources import Array, Subset
from twofold.encoding.encoder import Encoder
from twofold.evaluation import online
from twofold.evaluation.knn import knn_predict
from twofold.evaluation.online import OnlineKNN


def test_a_fifth_asks_the_others(finished, monkeypatch):
    monkeypatch.setattr(online, "IMAGES", 400)
    source, backbone = open_data("digits").train, finished.backbone()
    knn = OnlineKNN.of(source, finished.spec, torch.device("cpu"), "fp32")
    values = Encoder(backbone, finished.spec, torch.device("cpu"))(knn.images)
    for label in range(10):  # about a fifth of each class, whatever order they come in
        own = (knn.labels == label).nonzero()[:, 0]
        assert abs(int(knn.asking[own].sum()) - len(own) / 5) < 1
    asking = knn.asking
    predicted = knn_predict(values[~asking], knn.labels[~asking], values[asking])
    assert knn.score(backbone.train()) == pytest.approx(float((predicted == knn.labels[asking]).float().mean()))
    assert knn.asked == 80
    assert knn.score(backbone) > 0.2  # guessing: 0.1, with a deviation of 0.03


def test_it_needs_labels_and_some_images(finished):
    cpu, digits = torch.device("cpu"), open_data("digits").train
    assert OnlineKNN.of(Array(digits.images), finished.spec, cpu, "fp32") is None
    assert OnlineKNN.of(Subset(digits, range(19)), finished.spec, cpu, "fp32") is None
    zeros = Subset(digits, [number for number, label in enumerate(digits.labels) if label == 0])
    assert OnlineKNN.of(zeros, finished.spec, cpu, "fp32") is None  # of one class all are right
