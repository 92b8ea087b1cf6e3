"""The parts of `joint` by their names."""

import pytest
import torch

from tests.methods.test_joint import step
from twofold.errors import UsageError
from twofold.methods import joint_parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variance:25,covarience:1", "did you mean covariance"),
        ("variance:much", "weight of variance must be a number"),
        ("variance:nan", "weight of variance must be a number"),
    ],
)
def test_functionals_that_do_not_exist_are_said(text, words):
    with pytest.raises(UsageError, match=words):
        step("joint", functionals=text)


def test_weights_stand_beside_their_functionals():
    found = joint_parts.functionals(" variance:25, covariance ,repulsion:0.5", 0.2)
    weights = {name: weight for name, (weight, _) in found.items()}
    assert weights == {"variance": 25.0, "covariance": 1.0, "repulsion": 0.5}
    assert joint_parts.functionals("", 0.2) == {}


@pytest.mark.parametrize("name", ["squared", "cosine", "negative_cosine", "smooth_l1", "correlation"])
def test_what_a_part_costs_when_all_embeddings_are_alike(name):
    rows = torch.ones(8, 5, dtype=torch.float64)
    assert joint_parts.energy(name, 0.2)(rows, rows).item() == pytest.approx(joint_parts.collapsed(name, 16, 5))
    for functional, (_, part) in joint_parts.functionals("variance,covariance,redundancy", 0.2).items():
        assert part(rows, rows, rows[:0]).item() == pytest.approx(joint_parts.collapsed(functional, 16, 5))
