"""From a recipe to networks with their first weights."""

import torch

from tests.recipe.test_rules import chosen_for
from twofold.methods.building import backbone_spec, build_method, fresh_backbone


def recipe(**settings):
    return chosen_for("vicreg", 100, image_size=32, backbone="resnet10t", **settings)[0]


def weights(settings):
    method = build_method(settings, backbone_spec(settings), 100)
    return torch.cat([weight.detach().flatten() for weight in method.parameters()])


def test_first_weights_are_a_function_of_the_seed():
    state = torch.random.get_rng_state()
    first, again, other = (weights(recipe(seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)
    settings = recipe(seed=1)
    fresh = fresh_backbone(backbone_spec(settings), 1)
    flat = torch.cat([weight.detach().flatten() for weight in fresh.parameters()])
    assert torch.equal(flat, other[: len(flat)])


def test_what_is_frozen_and_what_norms_keep_is_the_recipes():
    settings = recipe(freeze=1, keep_statistics=True)
    backbone = build_method(settings, backbone_spec(settings), 100).train().backbone
    assert not any(weight.requires_grad for weight in backbone.conv1.parameters())
    assert all(weight.requires_grad for weight in backbone.layer4.parameters())
    before = backbone.layer4[0].bn1.running_mean.clone()
    backbone(torch.randn(4, 3, 32, 32))
    assert torch.equal(backbone.layer4[0].bn1.running_mean, before)
