"""Whole groups are held out, about a fifth of the images, so that classes can be learned and tested."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.errors import UsageError
from twofold.evaluation.groups import held_out, in_both


def test_groups_of_which_none_can_be_held_out():
    with pytest.raises(UsageError, match=r"photos has one group, or an image a class.*: call the column"):
        held_out([0, 1] * 5, ["a"] * 10, "photos")
    with pytest.raises(UsageError, match="too few classes in common"):
        held_out([0] * 5 + [1] * 5, ["a"] * 5 + ["b"] * 5, "photos")


def test_a_class_of_a_single_group_is_learned_and_not_tested():
    labels, groups = [0, 1, 0, 1, 0, 1, 2], ["a", "a", "b", "b", "c", "c", "d"]
    train, test, how = held_out(labels, groups, "photos")
    assert sorted(train + test) == list(range(7))
    assert len({groups[number] for number in test}) == 1
    assert groups[test[0]] != "d"
    assert how == (
        "the images of 1 of 4 groups held out for testing; if pretraining saw them, then without labels; of 3 classes, "
        "1 cannot be tested, as too few groups have them"
    )


@given(st.lists(st.integers(1, 60), min_size=5, max_size=11), st.integers(0, 20))
def test_groups_of_any_sizes_leave_most_images_to_learn_from(sizes, single):
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)] + [""] * single
    labels = [number % 2 for number in range(len(groups))]
    try:
        train, test, how = held_out(labels, groups, "photos")
    except UsageError:
        return  # nearly all of them have one image
    assert sorted(train + test) == list(range(len(groups)))
    assert not {groups[n] for n in train} & {groups[n] for n in test} - {""}
    assert len([n for n in test if not groups[n]]) == single // 5
    assert (", and every fifth image without a group" in how) == (single > 0)
    whole = sum(sizes)
    assert len([n for n in test if groups[n]]) <= max(whole / 2, whole / 5 + max(sizes), sizes[0])


def test_a_large_group_is_learned_from():
    _, test, _ = held_out([0, 1] * 50, ["a"] * 90 + ["b"] * 10, "photos")
    assert test == list(range(90, 100))


def test_groups_in_both_parts_are_counted():
    assert in_both(["a", "b", ""], ["b", "c", ""]) == "; 1 group has images in both parts, so scores may be too high"
    assert in_both(["a", ""], ["c", ""]) == in_both(None, ["a"]) == ""


def test_a_group_whose_class_no_other_has_is_learned_from_though_it_is_nearest_to_a_fifth():
    labels, groups = [1, 1, 0, 0, 1, 0, 1, 0, 2, 2], [letter for letter, n in zip("abc", (4, 4, 2)) for _ in range(n)]
    _, test, _ = held_out(labels, groups, "photos")
    assert "c" not in {groups[number] for number in test}
