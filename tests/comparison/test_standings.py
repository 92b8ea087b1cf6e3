"""What the runs of a comparison come to."""

import pytest
from scipy.stats import kendalltau

from twofold.comparison import standings


def test_labels_needed():
    def row(labels, value, over="10 draws of the labels"):
        return {"pretrained": {"labels": labels, "value": value, "over": over}}

    curve = {"few_1": row(10, 0.4), "few_10": row(100, 0.6)}
    whole = {"all_labels": row(1000, 0.9, "359 test images") | {"untrained": {"value": 0.5}}}
    assert standings.labels_needed(curve | whole) == pytest.approx(10**1.5, abs=0.1)
    whole["all_labels"]["untrained"]["value"] = 0.3
    assert standings.labels_needed(curve | whole) == 10
    whole["all_labels"]["untrained"]["value"] = 0.95
    assert standings.labels_needed(curve | whole) is None
    assert standings.labels_needed({"knn": row(1000, 0.9, "359 test images")}) is None


def test_the_order_without_labels_and_its_agreement():
    measured = {"a": (5.0, 1.5, 9.0), "b": (7.0, 0.9, 3.0), "c": (6.0, 3.0, 4.0), "d": (4.0, 5.0, 1.0)}
    accuracy = {"a": 0.5, "b": 0.7, "c": 0.6, "d": 0.4}
    found = {
        name: {
            "runs": [f"{name}-0"],
            "measures": [dict(zip(("rank", "alpha", "lidar"), values, strict=True))],
            "linear": {f"{name}-0": accuracy[name]},
        }
        for name, values in measured.items()
    }
    ranked = standings.ranking(found)
    assert ranked["rank"] == {"order": ["b-0", "c-0", "a-0", "d-0"], "agreement": 1.0, "runs": 4}
    assert ranked["alpha"]["order"] == ["b-0", "a-0", "c-0", "d-0"]  # nearest 1 first
    tau = kendalltau([9, 3, 4, 1], [0.5, 0.7, 0.6, 0.4]).statistic
    assert ranked["lidar"]["order"] == ["a-0", "c-0", "b-0", "d-0"]
    assert ranked["lidar"]["agreement"] == pytest.approx(tau, abs=1e-3)
    del found["d"]
    assert standings.ranking(found)["rank"] == {"order": ["b-0", "c-0", "a-0"], "agreement": None, "runs": 3}


def test_a_score_is_the_mean_over_runs_and_its_deviation():
    def row(value, **more):
        return {"pretrained": {"metric": "accuracy", "value": value, "spread": 0.01, "over": "9 images", **more}}

    runs = [{"knn": row(0.5), "few": row(0.25, labels=10)}, {"knn": row(0.75)}]
    found = standings.over_runs(runs, "pretrained")
    assert found["knn"]["value"] == 0.625
    assert found["knn"]["spread"] == pytest.approx(0.125 * 2**0.5)
    assert (found["knn"]["over"], found["knn"]["values"]) == ("2 seeds", [0.5, 0.75])
    alone = found["few"]  # measured in one run: the spread that it had there
    assert (alone["value"], alone["spread"], alone["over"], alone["labels"]) == (0.25, 0.01, "9 images", 10)
    start = standings.over_runs([{"knn": row(0.5)}, {"knn": row(0.5)}], "pretrained")["knn"]  # that both began with
    assert (start["value"], start["spread"], start["over"], start["values"]) == (0.5, 0.01, "9 images", [0.5, 0.5])
    assert standings.over_runs(runs, "untrained") == {}


def way(value, spread=0.01, start=None, untrained=0.5, knn=()):
    def scores(value):
        return {} if value is None else {"linear": {"value": value, "spread": spread, "over": "500 test images"}}

    who = {"pretrained": scores(value), "untrained": scores(untrained), "start": scores(start)}
    return {"scores": who, "gains": {}, "knn": [list(knn)]}


def test_the_verdict_names_the_best_way_and_says_whether_it_beats_the_beginning():
    (said,) = standings.verdict({"simclr": way(0.6), "vicreg": way(0.7)})
    assert said == "linear: the best way is vicreg with 70.0 ± 1.0, clearly better than the untrained network (50.0)"
    (said,) = standings.verdict({"simclr": way(0.6), "vicreg-published": way(0.81, start=0.8)})
    assert said.endswith(
        "not clearly better than the weights as they are (80.0): these do as well, as far as these images tell"
    )
    (said,) = standings.verdict({"simclr": way(0.4)})
    assert said == "linear: the best way is simclr with 40.0 ± 1.0, clearly worse than the untrained network (50.0)"
    (said,) = standings.verdict({"vicreg-published": way(0.7, start=0.8)})
    assert said.endswith("clearly worse than the weights as they are (80.0): use these")
    (said,) = standings.verdict({"vicreg-published": way(0.41, start=0.4)})  # of weights worse than none
    assert said.endswith("not clearly better than the weights as they are (40.0)")
    (said,) = standings.verdict({"simclr": way(0.6), "vicreg-published": way(0.9, start=0.8)})
    assert said.endswith("clearly better than the weights as they are (80.0)")
    assert "not clearly" not in said
    (said,) = standings.verdict({"simclr": way(0.7, untrained=0.8), "vicreg-x": way(0.6, start=0.5)})
    assert said.endswith("(50.0) but clearly worse than its own untrained network (80.0 ± 1.0)")
    # Of several beginnings the best one counts, whatever the order of the ways.
    starts = {"simclr-a": way(0.6, start=0.5), "simclr-b": way(0.8, start=0.9)}
    for ways in (starts, dict(reversed(starts.items()))):
        (said,) = standings.verdict(ways)
        assert said.endswith(
            "the best way is simclr-b with 80.0 ± 1.0, clearly worse than the weights of simclr-b as they are (90.0): "
            "use these"
        )
    (said,) = standings.verdict({"simclr": way(0.6, untrained=0.5), "mae": way(0.7, untrained=0.69)})
    assert said.endswith("not clearly better than the untrained network of mae (69.0)")
    rising = standings.verdict({"simclr": way(0.6, knn=[0.4, 0.5, 0.6, 0.7]), "byol": way(0.6, knn=[0.7] * 4)})
    assert rising[-1] == "kNN still rose at the end of simclr: more epochs may give more"
    assert standings.verdict({"simclr": way(None, untrained=None)}) == []
    assert standings.best_way({"simclr": way(0.6), "vicreg": way(0.7)}) == "vicreg"
    assert standings.best_way({"simclr": way(None)}) is None


def test_the_verdict_by_classes_alike_is_said_where_it_is_another_one():
    def both(plain, even):
        found = way(plain)
        for who, value in (("pretrained", even), ("untrained", 0.5)):
            found["scores"][who]["linear_balanced"] = {"value": value, "spread": 0.01, "over": "500 test images"}
        return found

    said = standings.verdict({"simclr": both(0.7, 0.51), "mae": both(0.6, 0.5)})
    assert said == [
        "linear: the best way is simclr with 70.0 ± 1.0, clearly better than the untrained network (50.0)",
        "linear, balanced: the best way is simclr with 51.0 ± 1.0, not clearly better than the untrained network "
        "(50.0)",
    ]
    assert len(standings.verdict({"simclr": both(0.7, 0.7), "mae": both(0.6, 0.8)})) == 2  # of two best ways
    assert len(standings.verdict({"simclr": both(0.7, 0.7), "mae": both(0.6, 0.6)})) == 1


def test_a_gain_is_the_mean_over_seeds_and_as_uncertain_as_seeds_and_images_make_it():
    def gain(value):
        return {"linear": {"above": "start", "value": value, "spread": 0.003, "over": "500 test images"}}

    found = standings.gains_of([gain(0.02), gain(0.03), gain(0.04)])["linear"]
    assert found["value"] == pytest.approx(0.03)
    over_seeds = 4.302653 / 2 * 0.01 / 3**0.5  # Student's t of three seeds
    assert found["spread"] == pytest.approx((0.003**2 + over_seeds**2) ** 0.5)
    assert (found["above"], found["values"]) == ("start", [0.02, 0.03, 0.04])
    assert found["over"] == "500 test images and 3 seeds"
    alone = standings.gains_of([gain(0.02)])["linear"]
    assert (alone["spread"], alone["over"]) == (pytest.approx(0.003), "500 test images")
    assert standings.gains_of([gain(0.02), {}]) == standings.gains_of([{}, gain(0.02)]) == {}  # one has none
    assert standings.gains_of([]) == {}


@pytest.mark.parametrize(("gain", "word"), [(0.01, "clearly better"), (-0.01, "clearly worse")])
def test_a_way_is_held_against_its_own_beginning_image_by_image(gain, word):
    """Two scores that do not differ by themselves do so by the images that only one of them tells."""
    own = way(0.8 + gain, start=0.8)
    own["gains"] = {"linear": {"above": "start", "value": gain, "spread": 0.003, "over": "500 test images"}}
    (said,) = standings.verdict({"vicreg-published": own})
    assert f", {word} than the weights as they are (80.0)" in said
    (said,) = standings.verdict({"vicreg-published": own, "vicreg-mine": way(0.4, start=0.805)})  # another's
    assert ", not clearly better than the weights of vicreg-mine as they are (80.5)" in said
    own["gains"]["linear"]["above"] = "untrained"  # no gain over the weights
    (said,) = standings.verdict({"vicreg-published": own})
    assert ", not clearly better than the weights as they are (80.0)" in said
    scratch = way(0.5 + gain)
    scratch["gains"] = {"linear": {"above": "untrained", "value": gain, "spread": 0.003, "over": "500 test images"}}
    (said,) = standings.verdict({"vicreg": scratch})
    assert f", {word} than the untrained network (50.0)" in said
    (said,) = standings.verdict({"vicreg": scratch, "simclr-weights": way(0.4, start=0.3)})
    assert ("but clearly worse than its own untrained network (50.0 ± 1.0)" in said) == (gain < 0)
