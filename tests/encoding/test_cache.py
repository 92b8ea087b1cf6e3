"""What is kept is what would be computed, and is not mistaken for something else."""

import numpy as np
import pytest
import torch

import twofold
from tests.conftest import encoded, tiny
from twofold.data.opening import open_data
from twofold.encoding.cache import Cache, Extractor
from twofold.encoding.extract import raw_pixels
from twofold.errors import Failed


def test_a_changed_projector_is_not_taken_from_the_cache(finished, tmp_path):
    cache = Cache(tmp_path / "features", "test", open_data("digits").test)
    base = cache.extracted({"raw": Extractor("raw", 8, raw_pixels)})["raw"]
    first, second, third = (cache.derived("p", key, base, lambda v, by=by: v * by).values for key, by in
                            (("a", 1), ("b", 2), ("a", 3)))  # fmt: skip
    assert torch.equal(second, 2 * first)
    assert torch.equal(third, first)


def test_splits_with_the_same_names_are_not_mixed_up(tmp_path):
    """Noise in files of equal names and sizes cannot be told apart; it once could, as its own training part."""
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for kind in ("a", "b"):
            (tmp_path / "noise" / part / kind).mkdir(parents=True)
            for number in range(30):
                file = encoded(random.integers(0, 256, (12, 12, 3), np.uint8), "BMP")
                (tmp_path / "noise" / part / kind / f"{number}.bmp").write_bytes(file)
    settings = {**tiny("simclr"), "data": str(tmp_path / "noise"), "epochs": 1, "batch_size": 30}
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    scores = twofold.evaluate(run, protocols="knn,linear")["scores"]
    assert all(0.2 < s["value"] < 0.8 for protocol in scores.values() for s in protocol.values())


@pytest.mark.parametrize("damage", ["bit", "cut", "not a number", "shortened", "exchanged", "empty"])
def test_damaged_features_are_named_and_computed_again(damage, tmp_path, caplog):
    cache = Cache(tmp_path / "features", "test", open_data("digits").test)
    extractors = {"raw": Extractor("raw", 8, raw_pixels), "half": Extractor("half", 8, lambda x: raw_pixels(x) / 2)}
    first = cache.extracted(extractors)
    path, other = (next((tmp_path / "features").glob(f"{name}-*.npz")) for name in ("raw", "half"))
    content = path.read_bytes()
    values, index = first["raw"].values.numpy().copy(), np.array(first["raw"].index)
    with np.load(path) as file:
        checksum = file["checksum"]
    if damage == "bit":
        path.write_bytes(content[:5000] + bytes([content[5000] ^ 4]) + content[5001:])
    elif damage == "exchanged":
        path.write_bytes(other.read_bytes())
    elif damage in ("cut", "empty"):
        path.write_bytes(content[: len(content) // 2 * (damage == "cut")])
    else:
        rows = slice(None, 50 if damage == "shortened" else None)
        changed = values[rows] if damage == "shortened" else np.full_like(values, np.nan)
        np.savez(path, values=changed, index=index[rows], checksum=checksum)
    again = cache.extracted(extractors)
    assert torch.equal(again["raw"].values, first["raw"].values)
    assert again["raw"].index == first["raw"].index
    assert caplog.messages == [f"{path} is damaged: these features are computed again"]
    caplog.clear()
    assert torch.equal(cache.extracted(extractors)["raw"].values, first["raw"].values)  # it is whole again
    assert caplog.messages == []


def test_features_of_other_crops_are_not_taken_from_the_cache(tmp_path, monkeypatch):
    cache = Cache(tmp_path / "features", "test", open_data("digits").test)
    asked = []

    def pixels(images):
        asked.append(len(images))
        return raw_pixels(images)

    for crops, times in ((1, 1), (1, 1), (2, 2)):
        monkeypatch.setattr("twofold.encoding.cache.CROPS", crops)
        cache.extracted({"raw": Extractor("raw", 8, pixels)})
        assert sum(asked) == times * len(cache.source)


def test_where_nothing_may_be_written_features_are_computed_and_not_kept(finished, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("twofold.encoding.cache.os.access", lambda path, mode: False)  # as on a read-only file system
    out = tmp_path / "scores.json"
    result = twofold.evaluate(finished, protocols="knn", out=out, kept_features=tmp_path / "features")
    assert out.exists()
    assert not (tmp_path / "features").exists()
    assert "may not be written to: features are not kept" in caplog.text
    with pytest.raises(Failed, match="no/such"):
        twofold.evaluate(finished, protocols="knn", out=out, kept_features=tmp_path / "no" / "such")
    assert result["scores"] == twofold.evaluate(finished, protocols="knn", out=out)["scores"]
