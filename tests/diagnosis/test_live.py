"""Looking at a run while it goes on."""

import torch

from tests.conftest import resolved, tiny
from tests.diagnosis.test_doctor import pretrain
from twofold.diagnosis import live
from twofold.methods.base import Output
from twofold.methods.building import backbone_spec, build_method


def test_looking_does_not_touch_the_run(tmp_path, monkeypatch):
    looked = pretrain(tmp_path / "looked", "byol", epochs=2)
    monkeypatch.setattr(live, "measure", None)  # would fail if it were called
    blind = pretrain(tmp_path / "blind", "byol", epochs=2, measure_every=0)
    assert all("measures" not in row for row in blind.metrics)
    assert [row["loss"] for row in blind.metrics] == [row["loss"] for row in looked.metrics]


def test_embeddings_that_are_no_numbers_are_not_measured():
    """The loop judges them by the loss; the doctor gets no row of them."""
    settings = resolved(**tiny("vicreg", measure_every=1))
    method = build_method(settings, backbone_spec(settings), 8)
    watch = live.Watch(settings, steps=10, epoch=5, rows=[])
    rows = {"step": 0, "epoch": 0, "loss": 1.0, "energy": 1.0}
    output = Output({"energy": torch.tensor(1.0)}, (torch.full((8, 4), torch.inf), torch.ones(8, 4)))
    assert watch.look(rows, method, output) == []
    assert "measures" not in rows
    assert watch.rows == []
