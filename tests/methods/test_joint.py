"""`joint` with the right parts is the published method: the same loss and the same gradients, in float64."""

import pytest
import torch

from tests.conftest import batch_of, resolved
from twofold.run import backbone_spec, build_method

NARROW = {"layers": (1, 1, 1, 1), "channels": (4, 4, 8, 8), "zero_init_last": False}
SMALL = dict(backbone="resnet18", backbone_arguments=NARROW, image_size=8, projector=(24, 12))
VICREG = dict(energy="squared", energy_weight=25.0, functionals="variance:25,covariance:1")


def step(name, steps=1, **settings):
    """Loss of the last step, and its gradients, by parameter."""
    wanted = resolved(name, images=None, **{**SMALL, **settings})
    method = build_method(wanted, backbone_spec(wanted), 64).double().train()
    random = torch.Generator().manual_seed(1)
    views = [torch.randn(10, 3, 8, 8, generator=random, dtype=torch.float64) for _ in "xy"]
    for number in range(steps):
        method.zero_grad()
        loss = sum(method(batch_of(method, wanted, views), number / steps).terms.values())
        loss.backward()
        if number < steps - 1:
            with torch.no_grad():
                for parameter in method.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(0.01 * parameter.grad)
            method.after_step(number / steps)
    return loss.item(), {k: p.grad for k, p in method.named_parameters() if p.grad is not None}


EQUAL = {
    "simclr": (
        dict(temperature=0.3, projector_norm="none"),
        dict(energy="cosine", energy_weight=1 / 0.6, functionals="repulsion:1", temperature=0.3, normalize=True,
             projector_norm="none"),
    ),
    "barlow_twins": (
        dict(scale=0.1),
        dict(energy="correlation", energy_weight=0.1, functionals="redundancy:0.00051"),
    ),
    "vicreg": ({}, VICREG),
    "byol": (
        dict(predictor=(20, 12), momentum=(0.9, 1.0)),
        dict(energy="cosine", energy_weight=2.0, functionals="", target="momentum", predictor=True, predictor_hidden=20,
             momentum=(0.9, 1.0)),
    ),
    "simsiam": (
        dict(predictor=(20, 12)),
        dict(energy="negative_cosine", energy_weight=1.0, functionals="", target="stop_gradient", predictor=True,
             predictor_hidden=20, last_norm=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_joint_equals(name):
    own, parts = EQUAL[name]
    loss, gradients = step(name, **own, steps=3)
    same_loss, same = step("joint", **parts, steps=3)
    assert same_loss == pytest.approx(loss, rel=1e-12)
    assert gradients.keys() == same.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(same[key], gradient, rtol=1e-9, atol=1e-12)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients.values())


@pytest.mark.parametrize(
    "settings",
    [
        VICREG | dict(target="momentum", memory=32),  # VICReg's functionals, BYOL's target, MoCo's memory
        dict(energy="smooth_l1", functionals="covariance,repulsion:0.5", predictor=True, normalize=True),
        dict(energy="cross_entropy", functionals="", target="stop_gradient"),
        dict(energy="cosine", functionals="redundancy:0.01", memory=16, projector=()),
        dict(energy="squared", energy_weight=0.0, functionals="variance:1"),
    ],
)
def test_other_combinations_run(settings):
    loss, gradients = step("joint", steps=3, **settings)
    assert loss == loss
    assert any(gradient.abs().max() > 0 for gradient in gradients.values())
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_a_memory_counts_as_part_of_the_batch():
    """The second step's functionals see the first step's embeddings."""
    with_it, without = (step("joint", steps=2, **VICREG, memory=memory)[0] for memory in (20, 0))
    assert with_it != without
