"""Fine-tuning: rates by hand, an encoder that moves, and what a pretrained start is worth."""

import pytest
import torch
from torch import nn

from twofold.data.opening import open_data
from twofold.data.sources import Subset
from twofold.encoding.encoder import Encoder
from twofold.encoding.progress import silent
from twofold.evaluation import finetune
from twofold.evaluation.finetune import Start, fine_tune, parameter_groups
from twofold.evaluation.knn import accuracy
from twofold.nets.backbone import BackboneSpec


def test_each_layer_of_a_transformer_has_its_own_rate():
    vit = BackboneSpec("test_vit", {"img_size": 16, "patch_size": 4}, "default", 16, (), ()).build()
    head = nn.Linear(64, 3)
    groups = parameter_groups(vit, head, rate=1e-3, layer_decay=0.5)
    peak = {id(p): group["peak"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    blocks = len(vit.blocks)
    for name, parameter in vit.named_parameters():
        if name.startswith("blocks."):
            layer = int(name.split(".")[1]) + 1
        else:
            layer = blocks if name.startswith(("norm.", "fc_norm.")) else 0
        assert peak[id(parameter)] == pytest.approx(1e-3 * 0.5 ** (blocks - layer)), name
        exempt = parameter.ndim == 1 or name in ("cls_token", "reg_token", "pos_embed")
        assert decay[id(parameter)] == (0 if exempt else finetune.WEIGHT_DECAY), name
    assert peak[id(head.weight)] == peak[id(head.bias)] == pytest.approx(5e-3)
    same = parameter_groups(vit, head, rate=1e-3, layer_decay=1.0)
    assert {group["peak"] for group in same} == {1e-3, 5e-3}


def test_a_network_of_unknown_layers_has_one_rate(caplog):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    groups = parameter_groups(network, nn.Linear(4, 2), rate=1e-3, layer_decay=0.5)
    decay = {id(p): (group["weight_decay"], group["peak"]) for group in groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        assert decay[id(parameter)] == (0 if parameter.ndim == 1 else finetune.WEIGHT_DECAY, 1e-3), name
    assert caplog.messages == []


@pytest.fixture
def short(monkeypatch):
    """A few steps at one rate."""
    for name, value in {"RATES": (1.6e-3,), "EPOCHS": 2, "STEPS": 24, "SEEDS": 2}.items():
        monkeypatch.setattr(finetune, name, value)


def start_of(run, trained):
    backbone = run.backbone() if trained else run.untrained()
    return Start(Encoder(backbone, run.spec, torch.device("cpu")), trained, 0.0, "fp32")


def test_the_encoder_learns_too_and_a_pretrained_one_learns_faster(finished, short):
    """24 steps on 200 digits, others to test on; progress is told."""
    data = open_data("digits").train
    train, test = Subset(data, range(200)), Subset(data, range(200, 400))
    truth = torch.tensor(test.labels)
    told, scores = [], {}
    for trained in (False, True):
        predicted, rate = fine_tune(
            start_of(finished, trained), train, torch.tensor(train.labels) * 3 + 1, test,
            tell=lambda what, done, of: told.append((what, done, of)),
        )  # fmt: skip
        assert rate == 1.6e-3
        assert not torch.equal(*predicted)  # two runs, not twice one
        scores[trained] = sum(accuracy(labels, truth * 3 + 1) for labels in predicted) / 2
    assert scores[True] > scores[False] + 0.05
    assert scores[True] > 0.3  # guessing: 0.1
    assert told[0] == ("rate 0.0016", 1, 24)
    assert told[-1] == ("run 2 of 2", 24, 24)


def test_weights_and_statistics_of_the_backbone_move(finished, short):
    source = Subset(open_data("digits").train, range(64))
    begin = start_of(finished, True)
    images = finetune._load(source, begin)
    network = finetune._train(begin, images, torch.tensor(source.labels), 1e-3, 0, silent, "")
    for (name, before), after in zip(finished.backbone().state_dict().items(), network[0].state_dict().values()):
        if before.is_floating_point():
            assert not torch.equal(before, after), name
    again = finetune._train(begin, images, torch.tensor(source.labels), 1e-3, 0, silent, "")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
