"""The hint that an error ends in."""

from twofold.errors import did_you_mean


def test_the_nearest_name_is_named_and_nothing_else():
    assert did_you_mean("vicregg", ["simclr", "vicreg", "byol"]) == "; did you mean vicreg?"
    assert did_you_mean("vicregg", {"byol": 1}) == ""
    assert did_you_mean("vicregg", []) == ""
    sizes = ["--solarize", "--batch-size", "--image-size"]
    assert did_you_mean("--size", sizes) == "; did you mean --batch-size or --image-size?"
    assert did_you_mean("batch", sizes) == "; did you mean --batch-size?"
