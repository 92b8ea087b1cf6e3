"""Opening a run: going on where it was, refusing what is another run, batches cut to the data."""

import numpy as np
import pytest

import twofold
from tests.conftest import encoded, picture
from tests.training.making import pretrain
from twofold.errors import UsageError


def test_a_finished_run_is_not_run_again(finished):
    before = (finished.path / "metrics.jsonl").read_bytes()
    pretrain(finished.path, epochs=8)
    assert (finished.path / "metrics.jsonl").read_bytes() == before


def test_what_was_chosen_is_no_change(tmp_path):
    """A vision transformer gets its patch and image size from the data: the same command still goes on."""
    settings = dict(backbone="test_vit", backbone_arguments={}, image_size=16, epochs=1, knn_every=0)
    first = pretrain(tmp_path / "run", **settings)
    again = pretrain(tmp_path / "run", **settings)
    assert again.metrics == first.metrics


def test_a_changed_recipe_is_refused_with_the_difference(finished):
    with pytest.raises(UsageError, match=r"epochs: 8 -> 9; .*temperature: 0.2 -> 0.5"):
        pretrain(finished.path, epochs=9, temperature=0.5)


def test_a_run_without_a_checkpoint_holds_nothing_to_protect(tmp_path):
    out = tmp_path / "run"
    pretrain(out, epochs=1)
    (out / "checkpoint.pt").unlink()
    images = np.stack([picture(12, 12, i) for i in range(70)])
    np.save(tmp_path / "images.npy", images)
    run = pretrain(out, data=tmp_path / "images.npy", epochs=2, knn_every=0)
    assert run.recipe.image_size == 12
    assert len(run.metrics) == 2


def test_two_processes_do_not_write_to_one_run(tmp_path):
    run = twofold.Run(tmp_path / "run")
    with run.held(), pytest.raises(UsageError, match="another process"):
        pretrain(run.path, epochs=1)


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be cut into 3"):
        pretrain(tmp_path / "run", accumulate=3)
    assert not (tmp_path / "run").exists()


def test_small_sets_get_smaller_batches(tmp_path):
    run = pretrain(tmp_path / "run", limit=40, epochs=2)
    assert len(run.metrics) == 2
    assert "batch 40 instead of 64" in (run.path / "log.txt").read_text()
    with pytest.raises(UsageError, match="too few"):
        pretrain(tmp_path / "one", limit=1)
    assert not (tmp_path / "one").exists()


def test_unreadable_images_never_stop_a_run(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(40):
        file = encoded(picture(64, 60 + number % 5, number), "JPEG", quality=95)
        (folder / f"{number:02}.jpg").write_bytes(file[: len(file) // 2] if number in (3, 17) else file)
    for resident in (True, False):
        run = pretrain(tmp_path / str(resident), data=folder, batch_size=16, epochs=2, resident=resident, workers=2)
        log = (run.path / "log.txt").read_text()
        assert "cannot read 03.jpg: " in log
        assert "truncated" in log.lower()
        assert "cannot read 17.jpg" in log
    with pytest.raises(UsageError, match=r"03\.jpg"):
        pretrain(tmp_path / "strict", data=folder, batch_size=16, max_unreadable=0.04)
    assert not (tmp_path / "strict").exists()
