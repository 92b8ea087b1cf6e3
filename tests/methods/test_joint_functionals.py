"""Functionals of `joint` by their names, sides and weights."""

import pytest
import torch

from tests.conftest import resolved
from tests.losses.plain import embeddings
from tests.methods.test_joint import step
from twofold import losses
from twofold.batch import Chance
from twofold.errors import UsageError
from twofold.methods.joint_functionals import NAMES, Functionals, parse
from twofold.nets.memory import Queue

CHANCE = Chance(0, 0, 6, slice(0, 6))


def functionals(memory=0, **settings):
    """Of six images with five dimensions, as a function of the online, predicted and target embeddings."""
    queue = Queue(memory, 5).double()
    it = Functionals(resolved("joint", projector=(5,), predictor=(5,), memory=memory, **settings).options, 5)
    return it, queue, lambda xs, ps, ys: it(xs, ps, ys, queue, CHANCE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variance:25,covarience:1", "did you mean covariance"),
        ("variance:much", "weight of variance must be a number"),
        ("variance:nan", "weight of variance must be a number"),
        ("contrast@targets", "did you mean target"),
        ("koleo@target:0.1", "koleo looks at one side alone"),
        ("variance,variance@online:2", "named twice"),
    ],
)
def test_functionals_that_do_not_exist_are_said(text, words):
    for settings in (dict(functionals=text), dict(functionals_y=text)):
        with pytest.raises(UsageError, match=words):
            step("joint", **settings)


def test_weights_stand_beside_their_functionals():
    found = parse(" variance:25, covariance ,repulsion@predicted:0.5,contrast@target")
    assert found == {
        ("variance", "online"): 25.0,
        ("covariance", "online"): 1.0,
        ("repulsion", "predicted"): 0.5,
        ("contrast", "target"): 1.0,
    }
    assert parse("") == {}


def test_a_is_of_the_first_view_and_b_of_the_second():
    """Each is half of the mean over views; what is not named for a view has the weight 0 there."""
    x, y, p, q = embeddings(6, 5, 4)
    _, _, of = functionals(functionals="variance:4,koleo@predicted:2", functionals_y="variance:1,covariance:6")
    found = of([x, y], [p, q], [x, y])
    assert list(found) == ["variance", "koleo@predicted", "covariance"]
    torch.testing.assert_close(found["variance"], (4 * losses.variance(x) + losses.variance(y)) / 2)
    torch.testing.assert_close(found["koleo@predicted"], losses.koleo(p))
    torch.testing.assert_close(found["covariance"], 3 * losses.covariance(y))


def test_b_is_as_a_unless_it_is_said():
    x, y = embeddings(6, 5, 2)
    of_a, of_both = (functionals(functionals="koleo:2", **b)[2] for b in ({}, {"functionals_y": "koleo:2"}))
    torch.testing.assert_close(of_a([x, y], [x, y], [x, y]), of_both([x, y], [x, y], [x, y]))
    none = functionals(functionals="koleo:2", functionals_y="")[2]([x, y], [x, y], [x, y])
    torch.testing.assert_close(none["koleo"], losses.koleo(x))


def test_sides():
    """What a functional looks at: both views' online or predicted embeddings, or a prediction and a target."""
    x, y, p, q, t, u = embeddings(6, 5, 6)
    names = "repulsion,repulsion@predicted,contrast@target,margin@predicted,redundancy@target"
    found = functionals(functionals=names, temperature=0.4, margin=3.0, normalize=True)[2]([x, y], [p, q], [t, u])
    torch.testing.assert_close(found["repulsion"], losses.repulsion(x, y, 0.4))
    torch.testing.assert_close(found["repulsion@predicted"], losses.repulsion(p, q, 0.4))
    own = torch.arange(6)
    keys = [losses.repulsion_from(a, b, b, (own, own), 0.4) for a, b in ((p, u), (q, t))]
    torch.testing.assert_close(found["contrast@target"], sum(keys) / 2)
    hinges = (losses.margin_hinge(p, q, 3.0) + losses.margin_hinge(q, p, 3.0)) / 2
    torch.testing.assert_close(found["margin@predicted"], hinges)
    whole = [losses.barlow_twins(a, b, 1.0) - losses.barlow_twins(a, b, 0.0) for a, b in ((p, u), (q, t))]
    torch.testing.assert_close(found["redundancy@target"], sum(whole) / 2)


def test_a_memory_is_part_of_the_batch():
    x, y, past = embeddings(6, 5, 3)
    names = "variance,repulsion,margin,contrast@target"
    _, queue, of = functionals(memory=8, functionals=names, temperature=0.4, margin=3.0, normalize=True)
    queue.enqueue(past)  # six of eight; the others are stand-ins still, which contrast alone takes, as MoCo does
    found = of([x, y], [x, y], [x, y])
    both = [torch.cat([z, past]) for z in (x, y)]
    torch.testing.assert_close(found["variance"], (losses.variance(both[0]) + losses.variance(both[1])) / 2)
    torch.testing.assert_close(found["repulsion"], losses.repulsion(x, y, 0.4, memory=past))
    hinges = [losses.margin_hinge(a, b, 3.0, past) for a, b in ((x, y), (y, x))]
    torch.testing.assert_close(found["margin"], sum(hinges) / 2)
    keys = [losses.repulsion_from(a, b, queue.rows, None, 0.4) for a, b in ((x, y), (y, x))]
    torch.testing.assert_close(found["contrast@target"], sum(keys) / 2)


def test_small_crops_look_at_full_size_views():
    views = embeddings(6, 5, 4)
    found = functionals(functionals="variance,margin", margin=3.0)[2](views, views, views[:2])
    torch.testing.assert_close(found["variance"], sum(map(losses.variance, views)) / 4)
    both = [(0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]
    hinges = [losses.margin_hinge(views[i], views[j], 3.0) for i, j in both]
    torch.testing.assert_close(found["margin"], sum(hinges) / 6)


def test_lines_are_drawn_anew_in_each_step_and_are_the_same_for_all_views():
    x, _ = embeddings(6, 5, 2)
    it, queue, of = functionals(functionals="sigreg")
    first = of([x, x], [x, x], [x, x])["sigreg"]
    torch.testing.assert_close(first, losses.sigreg(x, CHANCE.shared_normal("lines", 256, 5)))
    assert first != it([x, x], [x, x], [x, x], queue, CHANCE._replace(step=1))["sigreg"]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_functional_costs_when_all_embeddings_are_alike(name):
    rows = torch.full((6, 5), 0.0 if name == "sigreg" else 5**-0.5, dtype=torch.float64)
    for memory in (0, 8):
        it, queue, of = functionals(memory=memory, functionals=f"{name}:2", normalize=True)
        queue.enqueue(rows[:1].expand(memory, 5))
        cost = of([rows, rows], [rows, rows], [rows, rows])[name].item()
        assert cost == pytest.approx(it.collapsed(6, memory), abs=2e-3)
