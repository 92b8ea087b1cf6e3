"""Features of a whole source."""

from twofold.data.opening import open_data
from twofold.encoding.extract import extract, raw_pixels


def test_labels_follow_their_images():
    data = open_data("digits")
    found = extract(data.train, 8, {"raw": raw_pixels})["raw"]
    assert found.labels.tolist() == data.train.labels
    assert found.values.shape == (1438, 192)
