"""Results as text for a terminal."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.cli.running import twofold
from twofold.cli import tables
from twofold.data.scan import Scan
from twofold.outputs.embed import Written
from twofold.recipe.declared import methods, spec
from twofold.recipe.settings import declarations


def test_the_table_of_methods_and_their_cards(capsys):
    _, table, _ = twofold(capsys, "methods")
    for name in methods():
        assert re.search(rf"^ *{name} ", table, re.M)
        code, card, _ = twofold(capsys, "methods", name)
        assert code == 0
        assert card.startswith(spec(name).title)
        assert "\nloss " in card
        for option in declarations(spec(name).options):
            assert f"--{option.replace('_', '-')}" in card


def score(value, over):
    return {"metric": "accuracy", "value": value, "spread": 0.0125, "over": over}


def test_an_evaluation_is_a_row_a_measurement_and_says_what_spreads_are_over():
    result = {
        "representations": ["raw_pixels", "pretrained"],
        "scores": {
            "knn": {"raw_pixels": score(0.5, "359 test images"), "pretrained": score(0.755, "359 test images")},
            "few_1": {"pretrained": score(0.25, "10 draws of the labels")},
        },
        "gains": {"knn": {"above": "untrained", "value": 0.021, "spread": 0.008}},
        "notes": ["a note"],
        "verdict": ["what came out"],
        "data": {"name": "digits", "train": 1438, "test": 359, "split": "the data's own test part"},
    }
    text = tables.evaluation(result)
    assert re.search(r"^ *knn +50\.0 ± 1\.2 +75\.5 ± 1\.2 +\+2\.1 ± 0\.8 a$", text, re.M)
    assert re.search(r"^ *1 a class +25\.0 ± 1\.2 +b$", text, re.M)
    assert text.splitlines()[-6:] == [
        "± a: over 359 test images",
        "± b: over 10 draws of the labels",
        "gain: pretrained less untrained, ± how uncertain that is (evaluation.json says over what)",
        "a note",
        "digits: 1438 training and 359 test images, the data's own test part",
        "what came out",
    ]


def test_a_diagnosis_says_what_was_found_and_measured():
    finding = {"name": "collapse", "since": 3, "seen": "rank 1.2", "cause": "no repulsion", "advice": "--lr 0.1"}
    result = {"findings": [finding], "steps": 40, "looks": 4, "measures": {}}
    said = "collapse since step 3\n  seen: rank 1.2\n  likely cause: no repulsion\n  try: --lr 0.1"
    assert tables.diagnosis(result) == f"{said}\nthere is no checkpoint to measure"
    result["findings"] = [finding | {"since": None}]  # it was measured on the last checkpoint alone
    assert tables.diagnosis(result).startswith("collapse\n  seen: rank 1.2\n")
    result["findings"] = []
    assert tables.diagnosis(result).startswith("no sign of collapse in 40 steps, looked at 4 times")
    assert tables.diagnosis(result | {"looks": 0}).startswith("no step was looked at")
    measures = {"features": {"rank": 5.678, "length": 1234.5}, "embeddings": {"rank": 1.2}}
    text = tables.diagnosis(result | {"measures": measures, "images": {"data": "digits", "images": 100, "views": 4}})
    assert re.search(r"^ *rank +5\.68 +1\.2 +effective rank", text, re.M)
    assert re.search(r"^ *length +1\.23e\+03 +mean length", text, re.M)
    assert text.endswith("100 images of digits, whole; 4 distorted views of each for lidar and alignment")


def test_a_comparison_is_a_row_a_method():
    def own(value, findings):
        scores = {"pretrained": {"knn": score(value, "2 seeds")}, "untrained": {"knn": score(0.25, "2 seeds")}}
        costs = {"seconds": [10, 12], "images_per_second": [99], "peak_memory_mb": [500]}
        return {"epochs": 4, "scores": scores, "findings": findings, **costs}

    text = tables.comparison(
        {
            "methods": {"simclr": own(0.75, [[], []]), "byol": own(0.5, [["collapse"], ["collapse", "slow"]])},
            "raw_pixels": {"knn": score(0.125, "359 test images")},
            "verdict": ["linear: simclr is best"],
            "ranking": {
                "rank": {"order": ["simclr-0", "byol-0"], "agreement": 0.5, "runs": 2},
                "alpha": {"order": ["byol-0"], "agreement": None, "runs": 0},
            },
        }
    )
    assert re.search(r"^ *raw pixels +12\.5 ± 1\.2$", text, re.M)
    assert re.search(r"^ *simclr +4 +75\.0 ± 1\.2 +10 12 +99 +500 +none$", text, re.M)
    assert re.search(r"^ *byol +4 +50\.0 ± 1\.2 +10 12 +99 +500 +collapse, slow$", text, re.M)
    assert len(re.findall(r"^ *untrained +25\.0 ± 1\.2$", text, re.M)) == 1
    assert text.splitlines()[-4:] == [
        "linear: simclr is best",
        "without labels, best first:",
        "by rank: simclr-0, byol-0; agreement with the linear probe 0.5 (Kendall's tau)",
        "by alpha: byol-0",
    ]


def test_what_a_scan_found():
    sizes = Counter({(10, 20): 5, (30, 40): 3, (1, 1): 2, (2, 2): 1})
    text = tables.scanned("train", Scan(12, [("a.png", "not an image")], sizes, {"cat": 7, "dog": 4}))
    assert text.splitlines() == [
        "train: 12 images (5 of 20 x 10, 3 of 40 x 30, 2 of 1 x 1 and 1 other sizes), 1 unreadable",
        "5 images are twice as long as wide or more: networks see the central square, so cut them into tiles",
        "classes: cat 7, dog 4",
        "  a.png: not an image",
    ]


def test_what_was_written_and_left_out():
    done = Written(Path("v.npy"), vectors=75, features=96, images=100, before=0, unreadable=[])
    assert tables.written(done) == "wrote v.npy: 75 vectors of 96 numbers"
    assert "(40 of 100 images were done before)" in tables.written(replace(done, before=40))
    assert tables.written(replace(done, before=100)) == "v.npy is already done: 75 vectors of 96 numbers"
    many = [(f"{number}.png", "not an image") for number in range(25)]
    lines = tables.written(replace(done, unreadable=many)).splitlines()
    assert lines[1:3] == ["25 images cannot be read and are left out:", "  0.png: not an image"]
    assert len(lines) == 2 + 20 + 1
    assert lines[-1] == "  and 5 more, which twofold scan names"


def test_a_comparison_shows_a_beginning_that_ways_share_once_and_no_agreement_of_too_few_runs():
    def way(value, untrained):
        scores = {"knn": score(value, "359 test images")}, {"knn": score(untrained, "359 test images")}
        costs = {"seconds": [1], "images_per_second": [2], "peak_memory_mb": [3], "findings": [[]]}
        return {"epochs": 2, "scores": {"pretrained": scores[0], "untrained": scores[1], "start": {}}, **costs}

    order = {"order": ["simclr-0", "byol-0"], "agreement": None, "runs": 2}
    result = {"methods": {"simclr": way(0.75, 0.5), "byol": way(0.7, 0.5)}, "raw_pixels": {}, "verdict": []}
    text = tables.comparison({**result, "ranking": {"rank": order}})
    assert text.count("untrained") == 1
    assert text.splitlines()[-1] == "2 runs are too few to say how far that agrees with the linear probe"
    result["methods"]["byol"] = way(0.7, 0.6)
    text = tables.comparison({**result, "ranking": {"lidar": {**order, "order": []}}})
    assert "by lidar: it could not be measured" in text
    text = tables.comparison({**result, "ranking": {"rank": {**order, "agreement": 0.5, "runs": 4}}})
    assert text.count("untrained") == 2  # of another size, or another network
    assert "agreement with the linear probe 0.5" in text
    assert "too few" not in text
