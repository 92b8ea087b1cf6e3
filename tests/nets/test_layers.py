"""The layers of a backbone: their order, and what being frozen means."""

import pytest
import timm
import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets.layers import freeze, keep_statistics, layers
from twofold.nets.momentum import MomentumEncoder


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext"])
def test_every_parameter_is_in_one_layer_and_the_image_meets_them_in_order(name):
    backbone = timm.create_model(name, num_classes=0)
    groups = layers(backbone)
    names = [parameter for group in groups for parameter in group]
    assert sorted(names) == sorted(parameter for parameter, _ in backbone.named_parameters())
    assert backbone.pretrained_cfg["first_conv"] + ".weight" in groups[0]
    assert len(groups) > 2


def test_of_another_network_a_layer_is_a_child_with_parameters():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    assert layers(network) == [["0.weight", "0.bias"], ["2.weight", "2.bias"], ["4.weight", "4.bias"]]


def test_frozen_layers_keep_weights_and_statistics_and_the_rest_learns():
    torch.manual_seed(0)
    backbone = timm.create_model("test_resnet", num_classes=0)
    kept = set(layers(backbone)[0]) | set(layers(backbone)[1])
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    freeze(backbone, 2)
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], 0.1)
    backbone.train()(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    stages = {key.rpartition(".")[0] for key in kept}
    moved = {key.rpartition(".")[0] for key, value in backbone.state_dict().items() if not value.equal(before[key])}
    norms = {name for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert not moved & stages
    assert norms & stages
    assert norms - stages <= moved  # by their statistics if by nothing else
    plain = timm.create_model("test_resnet", num_classes=0)
    plain.load_state_dict(backbone.state_dict())  # an exported backbone is a plain one


def test_something_must_be_left_to_learn():
    backbone = timm.create_model("test_resnet", num_classes=0)
    with pytest.raises(UsageError, match=f"below {len(layers(backbone))}, .* begin with: conv1"):
        freeze(backbone, len(layers(backbone)))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_norms_that_keep_their_statistics_normalise_with_them_and_learn(name):
    torch.manual_seed(0)
    backbone, images = timm.create_model(name, num_classes=0), torch.randn(4, 3, 32, 32)
    for _ in range(3):
        backbone.train()(images)  # statistics that are not the first ones
    seen, before = backbone.eval()(images), {key: value.clone() for key, value in backbone.state_dict().items()}
    keep_statistics(backbone)
    keep_statistics(backbone)  # twice is once
    output = backbone.train()(images)
    torch.testing.assert_close(output, seen)
    output.square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_a_momentum_encoder_of_such_a_backbone_keeps_them_too():
    backbone, head = timm.create_model("test_resnet", num_classes=0), nn.BatchNorm1d(4)
    keep_statistics(backbone)
    target = MomentumEncoder((0.9, 1.0), backbone, head).train()
    copied, own = target.stages
    assert not any(module.training for module in copied.modules() if isinstance(module, nn.BatchNorm2d))
    assert own.training
