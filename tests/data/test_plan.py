"""Which images form which step."""

import torch

from twofold.data.plan import MicroBatch, Plan


def test_every_epoch_has_every_image_once():
    plan = Plan(images=10, batch=5, seed=3)
    epochs = [torch.cat([plan.indices(step) for step in steps]).tolist() for steps in ((0, 1), (2, 3))]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    assert plan.indices(3).tolist() == Plan(10, 5, 3).indices(3).tolist()
    assert plan.indices(3).tolist() != Plan(10, 5, 4).indices(3).tolist()


def test_an_image_is_new_once():
    """Ten images in batches of four: two are left over in every epoch, and come later."""
    plan = Plan(images=10, batch=4, seed=0)
    seen, new = set(), []
    for step in range(40):
        numbers = set(plan.indices(step).tolist())
        new.append(bool(numbers - seen))
        seen |= numbers
    assert new == [plan.brings_new(step) for step in range(40)]
    assert new[:2] == [True, True]
    assert 0 < sum(new[2:]) <= 2


def test_neighbours_are_drawn_anew_in_every_step():
    """With all images in every step and their neighbours 1 to 5 places further, places are not drawn alike twice."""
    table = torch.stack([(torch.arange(12) + place) % 12 for place in range(1, 6)], 1)
    plan = Plan(12, 12, 0, table)
    places = []
    for step in range(3):
        index, second = plan.shown(MicroBatch(step, slice(0, 12)))
        places.append(((second - index) % 12).tolist())
        assert set(places[-1]) <= set(range(1, 6))
        again = Plan(12, 12, 0, table).shown(MicroBatch(step, slice(6, 12)))[1]
        assert torch.equal(again, second[6:])  # a function of the step, whatever rows are asked for
    assert places[0] != places[1] != places[2] != places[0]
