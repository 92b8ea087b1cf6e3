"""What a comparison compares: methods, starts, and which settings go to whom."""

import pytest

from twofold.comparison.ways import ways_of
from twofold.errors import UsageError


def test_each_method_from_each_start_with_the_settings_that_it_has():
    found = ways_of(["simclr", "vicreg"], ["scratch", "published", "weights/cats.pth"], {"epochs": 3, "variance": 5.0})
    assert list(found) == [
        "simclr", "vicreg", "simclr-published", "vicreg-published", "simclr-cats", "vicreg-cats",
    ]  # fmt: skip
    same = ["runs/a/simclr-0", "runs/b/simclr-0", "w.v2", "w.pth"]
    assert list(ways_of(["vicreg"], same, {})) == ["vicreg-a-simclr-0", "vicreg-b-simclr-0", "vicreg-w.v2", "vicreg-w"]
    assert found["simclr"] == {"epochs": 3, "method": "simclr", "weights": ""}
    assert found["vicreg-cats"] == {"epochs": 3, "variance": 5.0, "method": "vicreg", "weights": "weights/cats.pth"}


def test_what_needs_starting_weights_goes_to_the_ways_that_have_some():
    asked = {"neighbours": 3, "interpolate-weights": 0.3, "epochs": 2}
    found = ways_of(["simclr"], ["scratch", "w.pth"], asked)
    assert found["simclr"] == {"epochs": 2, "method": "simclr", "weights": ""}
    assert found["simclr-w"] == {**asked, "method": "simclr", "weights": "w.pth"}
    alone = ways_of(["simclr"], ["scratch"], asked)  # nothing has weights, which is then said
    assert alone["simclr"] == {**asked, "method": "simclr", "weights": ""}


@pytest.mark.parametrize(
    ("methods", "starts", "settings", "words"),
    [
        (["simclr", "vicreg"], ["scratch"], {"varience": 1}, "no setting 'varience'"),
        (["simclr", "simclr"], ["scratch"], {}, "simclr is named twice"),
        (["simclr"], ["a/x.pth", "a/x.pth"], {}, "simclr-x is named twice"),
        (["simclr"], [], {}, "nothing to compare"),
        (["simklr"], ["scratch"], {}, "simclr"),
    ],
)
def test_what_cannot_be_compared_is_said(methods, starts, settings, words):
    with pytest.raises(UsageError, match=words):
        ways_of(methods, starts, settings)
