"""What the scores come to is said as it is: better, worse, no difference, and what to do."""

from twofold.evaluation.score import Score
from twofold.evaluation.verdict import gains, verdict


def rows(**own):
    """Scores by row: of each representation in turn its value, with a spread of a point."""
    return {row: {who: Score(value, 0.01, "seeds") for who, value in it.items()} for row, it in own.items()}


def test_gains_are_over_the_start_where_there_is_one():
    both = rows(knn=dict(untrained=0.3, start=0.8, pretrained=0.7), mlp=dict(untrained=0.3, pretrained=0.7))
    ((row, gain),) = gains(both).items()
    assert (row, gain["above"], round(gain["value"], 6), round(gain["spread"], 6)) == ("knn", "start", -0.1, 0.014142)
    (gain,) = gains(rows(knn=dict(untrained=0.3, pretrained=0.7))).values()
    assert gain["above"] == "untrained"
    assert gains(rows(knn=dict(raw_pixels=0.3, resnet18=0.7))) == {}


def test_pretrained_features_are_held_against_the_untrained_networks():
    better = rows(knn=dict(untrained=0.5, pretrained=0.7), linear=dict(untrained=0.6, pretrained=0.61))
    assert verdict(better) == [
        "the pretrained features are clearly better than the untrained network's by knn (70.0 against 50.0: "
        "20.0 ± 1.4 more); not clearly better by linear (61.0 against 60.0: 1.0 ± 1.4 more)"
    ]
    (worse,) = verdict(rows(knn=dict(untrained=0.5, pretrained=0.4)))
    assert worse == (
        "the pretrained features are clearly worse than the untrained network's by knn (40.0 against 50.0: "
        "10.0 ± 1.4 less)"
    )


def test_starting_weights_that_are_not_beaten_are_the_ones_to_use():
    said = verdict(rows(knn=dict(untrained=0.3, start=0.8, pretrained=0.81)), "runs/a/start")
    assert "not clearly better than those of the weights as they are (start) by knn" in said[0]
    assert said[1] == (
        "the weights as they are (start) do as well, as far as these images tell: twofold embed runs/a/start DATA "
        "--out FILE, twofold export runs/a/start --out FILE"
    )
    lost = dict(untrained=0.3, start=0.8, pretrained=0.75)
    _, advice = verdict(rows(knn=lost, linear=lost | {"pretrained": 0.81}))
    assert advice == "the weights as they are (start) are the better ones here, so use them"
    assert len(verdict(rows(knn=dict(untrained=0.3, start=0.8, pretrained=0.9)))) == 1
    assert len(verdict(rows(knn=dict(untrained=0.95, start=0.8, pretrained=0.81)))) == 1  # nor are they the best


def test_what_every_class_alike_says_otherwise_is_said():
    """As where a class with most of the images is told better, and the others worse."""
    plain = dict(untrained=0.5, pretrained=0.7)
    (said,) = verdict(rows(knn=plain, knn_balanced=dict(untrained=0.5, pretrained=0.4)))
    assert said == (
        "the pretrained features are clearly better than the untrained network's by knn (70.0 against 50.0: "
        "20.0 ± 1.4 more); clearly worse by knn, balanced (40.0 against 50.0: 10.0 ± 1.4 less)"
    )
    assert verdict(rows(knn=plain, knn_balanced=dict(untrained=0.4, pretrained=0.6))) == verdict(rows(knn=plain))


def test_a_projector_that_is_better_is_named():
    said = verdict(rows(knn=dict(untrained=0.3, pretrained=0.6, projector=0.7)))
    assert said[1] == (
        "the features after the projector are clearly better than those before it by knn (70.0 against 60.0: "
        "10.0 ± 1.4 more)"
    )
    assert len(verdict(rows(knn=dict(untrained=0.3, pretrained=0.6, projector=0.61)))) == 1


def test_what_was_not_measured_is_not_judged():
    assert verdict(rows(knn=dict(raw_pixels=0.5, resnet18=0.9))) == []
    assert verdict(rows(few_1=dict(untrained=0.5, pretrained=0.9))) == []
    assert "mean IoU (" in verdict(rows(segmentation_miou=dict(untrained=0.2, pretrained=0.4)))[0]
