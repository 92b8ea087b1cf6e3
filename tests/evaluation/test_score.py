"""A difference of two scores is as certain as the images and the draws of labels that both have make it."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from twofold.evaluation.score import Score, error_of_mean


def told(*right):
    """A score of one prediction: the images that are right, 1 or 0."""
    return Score.of_predictions(torch.tensor(right), torch.ones(len(right), dtype=torch.int64))


@pytest.mark.parametrize("images", [10, 100, 3000])
def test_of_two_predictions_it_is_mcnemars_with_an_image_more_on_either_side(images):
    """So 6 images that only one of the two tells are a clear difference, as by the exact test (p 0.031), and 5 not."""
    alike = images - 6
    for only, direction in ((5, 0), (6, 1)):
        one, other = told(*[1] * alike, *[1] * only, *[0] * (6 - only)), told(*[1] * alike, *[0] * 6)
        gain = one.less(other)
        assert (gain.value, gain.spread) == pytest.approx((only / images, math.sqrt(only + 2) / images))
        assert gain.over == f"{images} test images"
        assert (gain.direction, other.less(one).direction) == (direction, -direction)


def test_scores_without_a_figure_for_each_image_are_taken_for_independent():
    gain = Score(0.53, 0.01, "100 test images").less(Score(0.5, 0.01, "100 test images"))
    assert (gain.value, gain.spread) == pytest.approx((0.03, math.sqrt(2) * 0.01))
    assert gain.direction == 1
    assert Score(0.528, 0.01, "").less(Score(0.5, 0.01, "")).direction == 0
    assert told(1, 0, 1).less(told(1, 0)).over == "both as if they were independent"


def test_balanced_accuracies_are_held_against_each_other_class_by_class():
    """One more of the two images of a small class is as much as 4 of 8 of a large one."""
    truth = torch.tensor([0] * 8 + [1] * 2)
    one, other = (Score.of_predictions(torch.tensor(labels), truth) for labels in ([0] * 9 + [1], [0] * 4 + [1] * 6))
    for score in (one, other):
        assert float(score.balanced.each.mean()) == pytest.approx(score.balanced.value)
    gain = one.balanced.less(other.balanced)
    assert gain.value == pytest.approx((1 + 0.5) / 2 - (0.5 + 1) / 2)
    squares = 4 * 0.625**2 + 2.5**2 + 2 * 2.5**2  # of 4 large images and a small one; two such small ones more
    assert gain.spread == pytest.approx(math.sqrt(squares) / 10)


def test_several_predictions_have_a_balanced_accuracy_too():
    truth = torch.tensor([0] * 8 + [1] * 2)
    predicted = [torch.tensor([0] * 9 + [1]), torch.tensor([0] * 10)]
    score = Score.of_attempts(predicted, truth, "draws of the labels")
    assert (score.value, score.balanced.value) == (pytest.approx(0.85), pytest.approx((0.75 + 0.5) / 2))
    assert (score.balanced.metric, score.balanced.over) == ("balanced accuracy", "2 draws of the labels")
    gain = score.balanced.less(Score.of_attempts(predicted[::-1], truth, "draws of the labels").balanced)
    assert gain.value == pytest.approx(0)


def attempts(gain, generator, draws=10, images=300):
    """Two classifiers whose accuracy depends on the image, on the draw and on chance; one is better by ``gain``."""
    hard = torch.randn(images, generator=generator)
    lucky = 0.3 * torch.randn(draws, 1, generator=generator)
    truth = torch.zeros(images, dtype=torch.int64)
    found = []
    for better in (gain, 0.0):
        own = 0.3 * torch.randn(images, generator=generator)  # what is hard for this one alone
        chance = 0.5 * torch.randn(draws, images, generator=generator)
        wrong = (hard + own + lucky + 0.1 * torch.randn(draws, 1, generator=generator) + chance - better > 0).long()
        found.append(Score.of_attempts(list(wrong), truth, "draws of the labels"))
    return found


@pytest.mark.parametrize(("draws", "images"), [(10, 300), (3, 300), (10, 5), (10, 3000)])
def test_chance_is_seldom_called_a_difference(draws, images):
    generator = torch.Generator().manual_seed(0)
    pairs = (attempts(0.0, generator, draws, images) for _ in range(400))
    assert sum(abs(one.less(other).direction) for one, other in pairs) / 400 < 0.06


def test_a_gain_is_seen_that_the_spreads_of_the_scores_would_hide():
    """What makes an image or a draw hard for both cancels."""
    generator = torch.Generator().manual_seed(0)
    pairs = [attempts(0.3, generator) for _ in range(100)]
    assert sum(one.less(other).direction for one, other in pairs) > 90
    assert all(one.less(other).value < 2 * math.hypot(one.spread, other.spread) for one, other in pairs)
    assert pairs[0][0].less(pairs[0][1]).over == "10 draws of the labels and 300 test images"


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_mean_of_a_few_values_is_as_uncertain_as_students_t_has_it(count):
    values = np.random.default_rng(count).normal(size=count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert error_of_mean(values.tolist()) == pytest.approx((high - low) / 4)


def test_an_image_of_a_rare_class_counts_whether_it_was_told_or_not():
    """56 images of one class and one of another: that one decides half of the balanced accuracy."""
    truth = torch.tensor([0] * 56 + [1])
    neither, both = truth * 0, truth.clone()
    gains = [
        Score.of_predictions(predicted, truth).balanced.less(Score.of_predictions(predicted, truth).balanced)
        for predicted in (neither, both)
    ]
    assert [gain.value for gain in gains] == [0, 0]
    assert gains[0].spread == gains[1].spread == pytest.approx(math.sqrt(2) / 2)
    few = neither.clone()
    few[:12] = 1
    gain = Score.of_predictions(neither, truth).balanced.less(Score.of_predictions(few, truth).balanced)
    assert (gain.value, gain.direction) == (pytest.approx(12 / 56 / 2), 0)
