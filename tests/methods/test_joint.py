"""`joint` with the right parts is the published method: the same loss and the same gradients, in float64."""

import pytest
import torch

from tests.conftest import batch_of, resolved
from twofold.errors import UsageError
from twofold.methods.building import backbone_spec, build_method

NARROW = {"layers": (1, 1, 1, 1), "channels": (4, 4, 8, 8), "zero_init_last": False}
SMALL = dict(backbone="resnet18", backbone_arguments=NARROW, image_size=8, projector=(24, 12))
VICREG = dict(energy="squared", energy_weight=25.0, functionals="variance:25,covariance:2")


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
        dict(energy="cosine", energy_weight=1 / 0.6, functionals="repulsion", temperature=0.3, normalize=True,
             projector_norm="none"),
    ),
    "moco": (
        dict(temperature=0.3, queue=24, key_groups=2, momentum=(0.9, 1.0)),
        dict(energy="cosine", energy_weight=1 / 0.6, functionals="contrast@target", temperature=0.3, normalize=True,
             memory=24, key_groups=2, target="momentum", momentum=(0.9, 1.0), projector_norm="none"),
    ),
    "mocov3": (
        dict(temperature=0.3, predictor=(20, 12), momentum=(0.9, 1.0)),
        dict(energy="cosine", energy_weight=2.0, functionals="contrast@target:1.2", temperature=0.3, normalize=True,
             predictor=(20, 12), target="momentum", momentum=(0.9, 1.0), last_norm=True),
    ),
    "barlow_twins": (
        dict(scale=0.1),
        dict(energy="correlation", energy_weight=0.1, functionals="redundancy:0.00051"),
    ),
    "vicreg": ({}, VICREG),
    "lejepa": (
        dict(sigreg=0.1),
        dict(energy="squared", energy_weight=0.9 / 4, functionals="sigreg:25.6", views_together=True),
    ),
    "swav": (
        dict(prototypes=7, epsilon=0.05, freeze_prototypes=0.3),
        dict(energy="cross_entropy", energy_weight=1.0, functionals="", codes="sinkhorn", temperature=0.1,
             target_temperature=0.05, prototypes=7, freeze_prototypes=0.3, target="stop_gradient", views_together=True),
    ),
    "byol": (
        dict(predictor=(20, 12), momentum=(0.9, 1.0)),
        dict(energy="cosine", energy_weight=2.0, functionals="", target="momentum", predictor=(20, 12),
             momentum=(0.9, 1.0)),
    ),
    "simsiam": (
        dict(predictor=(20, 12)),
        dict(energy="negative_cosine", energy_weight=1.0, functionals="", target="stop_gradient", predictor=(20, 12),
             last_norm=True),
    ),
    "dino": (
        dict(prototypes=7, teacher_temperature=(0.05, 0.05), teacher_momentum=(0.9, 1.0), freeze_prototypes=0.3),
        dict(energy="cross_entropy", energy_weight=1.0, functionals="", codes="centred", temperature=0.1,
             target_temperature=0.05, prototypes=7, freeze_prototypes=0.3, target="momentum", momentum=(0.9, 1.0),
             views_together=True, projector_norm="none", activation="gelu"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_joint_equals(name):
    own, parts = EQUAL[name]
    loss, gradients = step(name, **own, steps=4)
    same_loss, same = step("joint", **parts, steps=4)
    assert same_loss == pytest.approx(loss, rel=1e-12)
    assert gradients.keys() == same.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(same[key], gradient, rtol=1e-9, atol=1e-12)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients.values())


@pytest.mark.parametrize(
    "settings",
    [
        VICREG | dict(target="momentum", memory=32),  # VICReg's functionals, BYOL's target, MoCo's memory
        dict(energy="smooth_l1", functionals="covariance,repulsion@predicted:0.5", predictor=(24, 12), normalize=True),
        dict(energy="cross_entropy", functionals="", target="stop_gradient"),
        dict(energy="cosine", functionals="redundancy@target:0.01,uniformity", memory=16, target="momentum",
             projector=()),
        dict(energy="squared", energy_weight=0.0, functionals="variance:1"),
        dict(functionals="sigreg:5,norm", functionals_y="koleo:0.1,coding_rate:0.01,margin:1", memory=16),
        dict(energy="cross_entropy", codes="sinkhorn", prototypes=6, memory=32, functionals="koleo:0.1"),
        dict(energy="cross_entropy", codes="centred", target_temperature=0.05, functionals="repulsion,contrast"),
    ],
)  # fmt: skip
def test_other_combinations_run(settings):
    loss, gradients = step("joint", steps=3, **settings)
    assert loss == loss
    assert any(gradient.abs().max() > 0 for gradient in gradients.values())
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_a_memory_counts_as_part_of_the_batch():
    """The second step's functionals and codes see the first step's embeddings."""
    clusters = dict(energy="cross_entropy", codes="sinkhorn", prototypes=6, functionals="")
    for settings in (VICREG, clusters):
        with_it, without = (step("joint", steps=2, **settings, memory=memory)[0] for memory in (20, 0))
        assert with_it != without


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(codes="sinkhorn"), "codes sinkhorn are for energy cross_entropy"),
        (dict(prototypes=8), "prototypes are for energy cross_entropy"),
        (dict(energy="cross_entropy", freeze_prototypes=0.1), "no prototypes to freeze"),
        (dict(functionals="variance@predicted"), "no predictor for variance@predicted"),
        (dict(functionals_y="variance@predicted"), "no predictor for variance@predicted"),
        (dict(key_groups=2), "key_groups are for a momentum encoder"),
        (dict(key_groups=2, target="momentum", views_together=True), "exclude each other"),
        (dict(memory=8, functionals="redundancy"), "looks at the memory"),
        (dict(predictor=(8, 13)), "predictor must end"),
    ],
)
def test_parts_that_do_not_go_together_are_said(settings, words):
    with pytest.raises(UsageError, match=words):
        step("joint", **settings)
