"""Looking at a run while it goes on."""

from tests.diagnosis.test_doctor import pretrain
from twofold.diagnosis import live


def test_looking_does_not_touch_the_run(tmp_path, monkeypatch):
    looked = pretrain(tmp_path / "looked", "byol", epochs=2)
    monkeypatch.setattr(live, "measure", None)  # would fail if it were called
    blind = pretrain(tmp_path / "blind", "byol", epochs=2, measure_every=0)
    assert all("measures" not in row for row in blind.metrics)
    assert [row["loss"] for row in blind.metrics] == [row["loss"] for row in looked.metrics]
