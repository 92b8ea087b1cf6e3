"""Optimizers, what they exempt, and the rate of each layer."""

import math

import pytest
import torch
from timm.optim.lars import Lars
from torch import nn

from tests.training.making import pretrain
from twofold import device
from twofold.nets.backbone import BackboneSpec
from twofold.nets.layers import layers
from twofold.storage import files
from twofold.training.optimizer import create_optimizer, set_rates


def test_norms_and_biases_are_exempt_from_decay():
    method = torch.nn.Module()
    method.backbone = BackboneSpec("test_vit", {"img_size": 32}, "default", 32, (), ()).build()
    optimizer = create_optimizer(method, "adamw", 0.1, 0.9)
    groups = {group["weight_decay"]: {id(p) for p in group["params"]} for group in optimizer.param_groups}
    decayed, exempt = groups.pop(0.1), groups.pop(0.0)
    assert not groups
    for name, parameter in method.backbone.named_parameters():
        free = parameter.ndim == 1 or name in ("pos_embed", "cls_token")
        assert (id(parameter) in exempt) == free, name
        assert (id(parameter) in decayed) != free, name


def test_what_is_frozen_is_left_out_and_each_name_is_its_optimizer():
    method = torch.nn.ModuleDict({"backbone": torch.nn.Linear(3, 2), "target": torch.nn.Linear(3, 2)})
    method["target"].requires_grad_(False)
    kinds = {"lars": Lars, "sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    for name, kind in kinds.items():
        optimizer = create_optimizer(method, name, 0.1, 0.8)
        assert type(optimizer) is kind
        groups = optimizer.param_groups
        assert [p for group in groups for p in group["params"]] == list(method["backbone"].parameters())
        assert all(group.get("momentum", group.get("betas", [0])[0]) == 0.8 for group in groups)


def test_one_pass_over_all_weights_is_the_update_of_each():
    """Also where weights and their gradients lie in memory with the channels innermost."""

    def network():
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 32, 1), nn.Flatten(), nn.Linear(32 * 36, 5))
        return device.place(nn.ModuleDict({"backbone": nn.Sequential(*layers)}), torch.device("cpu"))

    images = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    fused, plain = network(), network()
    optimizers = [create_optimizer(it, "adamw", 0.1, 0.9) for it in (fused, plain)]
    assert all(group["fused"] for group in optimizers[0].param_groups)
    for group in optimizers[1].param_groups:
        group |= {"fused": False, "foreach": False}
    for _ in range(3):
        fused["backbone"](images).square().mean().backward()
        for one, other in zip(fused.parameters(), plain.parameters(), strict=True):
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            set_rates(optimizer, 0.01, 0.01, 0.1)
            optimizer.step()
        optimizers[0].zero_grad()
    assert not fused["backbone"][0].weight.is_contiguous()
    for one, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_a_weight_may_get_its_first_gradient_in_a_later_step(name):
    """As prototypes do that stay as they are at first."""
    method = nn.ModuleDict({name: nn.Linear(2, 2, bias=False) for name in ("backbone", "projector", "prototypes")})
    optimizer = create_optimizer(method, name, 0.1, 0.9)
    for gradients in ((1.0, 1.0, None), (1.0, 1.0, 1.0)):
        for weight, gradient in zip(method.parameters(), gradients, strict=True):
            weight.grad = None if gradient is None else torch.full_like(weight, gradient)
        set_rates(optimizer, 0.01, 0.01, 0.1)
        before = [weight.detach().clone() for weight in method.parameters()]
        optimizer.step()
        for weight, gradient, was in zip(method.parameters(), gradients, before, strict=True):
            assert torch.equal(weight, was) == (gradient is None)


def test_lars_adapts_weights_also_without_decay():
    """A weight's step is scaled by 0.02 |w| / |g|, at most 1; a bias's is the plain one (arXiv 1708.03888)."""
    method = torch.nn.ModuleDict({"backbone": torch.nn.Linear(3, 2)})
    weight, bias = method["backbone"].parameters()
    optimizer = create_optimizer(method, "lars", 0.0, 0.0)
    before, gradient = weight.detach().clone(), torch.full_like(weight, 7.0)
    weight.grad, bias.grad = gradient.clone(), torch.ones_like(bias)
    old_bias = bias.detach().clone()
    optimizer.step()
    trust = min(1.0, 0.02 * (before.norm() / gradient.norm()).item())
    torch.testing.assert_close(weight.detach(), before - trust * gradient)
    torch.testing.assert_close(bias.detach(), old_bias - 1)


def test_each_layer_learns_slower_than_the_one_after_it():
    method = torch.nn.Module()
    method.backbone = BackboneSpec("test_vit", {"img_size": 32}, "default", 32, (), ()).build()
    method.projector = torch.nn.Linear(64, 8)
    optimizer = create_optimizer(method, "adamw", 0.1, 0.9, layer_decay=0.5)
    set_rates(optimizer, 0.3, 0.08, 0.1)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rate.pop(id(p)) for p in method.projector.parameters()] == [0.3, 0.3]
    groups = layers(method.backbone)
    for after, names in enumerate(reversed(groups)):
        for name in names:
            assert rate.pop(id(method.backbone.get_parameter(name))) == 0.08 * 0.5**after, name
    assert not rate
    assert len(groups) > 3


def test_lars_may_go_above_the_plain_rate():
    """Without the limit a weight's step is 0.5 |w| / |g| times its gradient, however small that is."""
    method = torch.nn.ModuleDict({"backbone": torch.nn.Linear(3, 2, bias=False)})
    (weight,) = method["backbone"].parameters()
    optimizer = create_optimizer(method, "lars", 0.0, 0.0, lars_trust=0.5, lars_clip=False)
    before, gradient = weight.detach().clone(), torch.full_like(weight, 1e-3)
    weight.grad = gradient.clone()
    optimizer.step()
    torch.testing.assert_close(weight.detach(), before - 0.5 * before.norm() / gradient.norm() * gradient)


def test_biases_have_a_rate_of_their_own_and_the_decay_a_course():
    method = torch.nn.ModuleDict({"backbone": torch.nn.Linear(3, 2), "projector": torch.nn.Linear(2, 2)})
    optimizer = create_optimizer(method, "adamw", 0.1, 0.9, bias_scale=0.024, second_beta=0.95)
    set_rates(optimizer, 0.2, 0.05, 0.3)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for part, rate in (("backbone", 0.05), ("projector", 0.2)):
        weight, bias = (of[id(p)] for p in method[part].parameters())
        assert (weight["lr"], weight["weight_decay"]) == (rate, 0.3)
        assert (bias["lr"], bias["weight_decay"]) == (rate * 0.024, 0.0)
        assert weight["betas"] == (0.9, 0.95)


def test_weight_decay_goes_from_its_first_value_to_its_last_on_a_cosine(tmp_path):
    """Of four steps: that of the last one, which the checkpoint holds, is three quarters of the way."""
    run = pretrain(tmp_path / "run", epochs=1, limit=256, weight_decay=0.04, weight_decay_end=0.4, bias_lr=0.001)
    groups = files.load(run.path / "checkpoint.pt")["optimizer"]["param_groups"]
    exempt, decay = sorted({group["weight_decay"] for group in groups})
    assert exempt == 0
    assert decay == pytest.approx(0.4 - 0.36 * (1 + math.cos(0.75 * math.pi)) / 2)
    rates = {group["weight_decay"] == 0: group["lr"] for group in groups}
    assert rates[True] == pytest.approx(rates[False] * 0.5)
