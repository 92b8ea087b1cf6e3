"""The loop: it learns, it stops, it says why, it goes on."""

import json
import math

import numpy as np
import pytest
import torch

import twofold
from tests.conftest import VIT, encoded, picture, tiny
from twofold import files
from twofold.errors import Diverged, UsageError
from twofold.recipe import recipe
from twofold.schedule import warmup_cosine
from twofold.training.optimizer import create_optimizer


def pretrain(out, method="simclr", **settings):
    return twofold.pretrain(out=out, quiet=True, **tiny(method, **settings))


def weights(run):
    return files.load(run.path / "checkpoint.pt")["method"]


@pytest.mark.parametrize("method", ["simclr", "vicreg", "byol"])
def test_it_learns(method, tmp_path):
    """Some seconds on 1,438 digits: neighbours agree clearly more often than the untrained backbone's."""
    wider = {"layers": (1, 1, 1, 1), "channels": (16, 32, 32, 32), "zero_init_last": False}
    run = pretrain(
        tmp_path / "run",
        method,
        backbone_arguments=wider,
        limit=0,
        epochs=10,
        batch_size=128,
        optimizer="adamw",
        lr=4e-3,
        projector=(128, 128),
        **({"predictor": (128, 128), "momentum": (0.9, 1.0)} if method == "byol" else {}),
        crop_scale=(0.5, 1.0),
        jitter=0.0,
        grayscale=0.0,
        solarize=(0.0, 0.0),
    )
    assert run.metrics[-1]["knn"] > run.metrics[0]["knn_untrained"] + 0.1


def test_a_run_directory_tells_the_whole_story(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert {
        "recipe.toml",
        "metrics.jsonl",
        "checkpoint.pt",
        "backbone.safetensors",
        "backbone.json",
        "log.txt",
    } <= names
    settings = finished.recipe
    assert settings.image_size == 8  # what was left open is chosen and recorded
    assert settings.stem == "small"
    assert len(settings.mean) == len(settings.std) == 3
    rows = finished.metrics
    assert [row["step"] for row in rows] == list(range(32))
    assert all(math.isclose(row["loss"], row["attraction"] + row["repulsion"]) for row in rows)
    assert rows[0]["collapsed"] == pytest.approx(math.log(127))
    assert rows[-1]["epoch"] == 7
    assert "small stem" in (finished.path / "log.txt").read_text()


def test_the_whole_method_comes_back_from_a_run(finished):
    """With its projector, in eval mode: after it, features are what the loss saw."""
    method = finished.method()
    state = weights(finished)
    assert not method.training
    assert all(torch.equal(value, state[key]) for key, value in method.state_dict().items())
    features = torch.randn(5, finished.spec.features)
    assert torch.equal(method.project(features), method.projector(features))
    assert method.project(features).shape == (5, 16)


def test_the_same_recipe_gives_the_same_run(finished, tmp_path):
    """From the run's own recipe file."""
    settings = {**recipe.settings_of(finished.recipe), "out": str(tmp_path / "again")}
    again = twofold.pretrain(quiet=True, **settings)
    for key, value in weights(finished).items():
        assert torch.equal(value, weights(again)[key]), key


def test_another_seed_gives_another_run(finished, tmp_path):
    other = pretrain(tmp_path / "other", epochs=8, seed=1)
    assert other.metrics[0]["loss"] != finished.metrics[0]["loss"]


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


@pytest.mark.parametrize("method", ["simclr", "pirl"])
def test_changed_data_are_refused(method, tmp_path):
    """Also by a method that keeps an entry for each image."""
    images = np.stack([picture(12, 12, i) for i in range(70)])
    settings = dict(method=method, data=tmp_path / "images.npy", epochs=1, knn_every=0)
    np.save(tmp_path / "images.npy", images)
    pretrain(tmp_path / "run", **settings)
    more = np.concatenate([images, images])
    for changed, words in ((images[::-1], "70 other"), (images[:66], "70 images, not 66"), (more, "not 140")):
        np.save(tmp_path / "images.npy", changed)
        with pytest.raises(UsageError, match=words):
            pretrain(tmp_path / "run", **settings)


def test_a_damaged_checkpoint_is_said(tmp_path):
    run = pretrain(tmp_path / "run", epochs=1)
    file = run.path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UsageError, match="damaged"):
        pretrain(tmp_path / "run", epochs=1)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    """A learning rate beyond reason: the run ends by itself and leaves what is needed to look into it."""
    with pytest.raises(Diverged, match="step"):
        pretrain(tmp_path / "run", method="vicreg", optimizer="sgd", lr=1e30, epochs=8)
    failure = files.load(tmp_path / "run" / "failure.pt")
    rows = twofold.Run.open(tmp_path / "run").metrics
    assert failure["step"] == rows[-1]["step"] + 1
    assert len(failure["index"]) == 64
    assert not all(math.isfinite(value) for value in failure["terms"].values())
    assert all(math.isfinite(row["loss"]) for row in rows)


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, monkeypatch):
    """A finite loss whose gradient is not: the update does not happen, not even the last one."""
    from twofold.methods.simclr import SimCLR

    plain, calls = SimCLR.forward, []

    def poisoned(self, batch, progress):
        output = plain(self, batch, progress)
        calls.append(progress)
        if len(calls) == 12:
            output.terms["repulsion"].register_hook(lambda gradient: gradient * math.inf)
        return output

    monkeypatch.setattr(SimCLR, "forward", poisoned)
    with pytest.raises(Diverged, match="step 11"):
        pretrain(tmp_path / "run", save_every=1)
    state = files.load(tmp_path / "run" / "checkpoint.pt")
    assert state["step"] == 11
    assert all(torch.isfinite(value).all() for value in state["method"].values())
    assert not (tmp_path / "run" / "backbone.safetensors").exists()


def test_a_run_without_a_checkpoint_holds_nothing_to_protect(tmp_path):
    out = tmp_path / "run"
    pretrain(out, epochs=1)
    (out / "checkpoint.pt").unlink()
    images = np.stack([picture(12, 12, i) for i in range(70)])
    np.save(tmp_path / "images.npy", images)
    run = pretrain(out, data=tmp_path / "images.npy", epochs=2, knn_every=0)
    assert run.recipe.image_size == 12
    assert len(run.metrics) == 2


def test_accumulation_says_what_it_does_to_the_loss(tmp_path):
    run = pretrain(tmp_path / "run", accumulate=2, epochs=1)
    assert run.metrics[0]["collapsed"] == pytest.approx(math.log(63))  # each loss sees 32 of the 64 images
    assert "every loss sees 32 images at a time, not 64" in (run.path / "log.txt").read_text()


def test_accumulated_gradients_are_those_of_the_whole(tmp_path):
    """For a loss that is a mean over samples, without batch norm, parts add up to the whole batch."""
    plain = dict(backbone="test_vit", backbone_arguments={}, stem=None, projector_norm="layer", precision="fp64")
    runs = [
        pretrain(tmp_path / str(parts), "byol", accumulate=parts, epochs=1, image_size=16, knn_every=0, **plain)
        for parts in (1, 4)
    ]
    for one, other in zip(*(run.metrics for run in runs), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            dict(method="mae", backbone="test_vit", backbone_arguments={}, image_size=16, mask=(0.001, 0.0)),
            "needs a masked view",
        ),
        (
            dict(method="mae", backbone="test_vit", backbone_arguments={}, image_size=16, decoder_width=100),
            "multiple of 32",
        ),
        (dict(method="mae", backbone="test_vit", backbone_arguments={"patch_size": 1}, image_size=8), "one pixel"),
        (
            dict(method="rotation", backbone="test_vit", backbone_arguments={}, image_size=16, mask=(0.0, 0.5)),
            "has one view",
        ),
        (
            dict(method="jigsaw", backbone="test_convnext", backbone_arguments={}, image_size=32),
            "does not take images of 8",
        ),
        (dict(method="vicreg", invariance=math.nan), "invariance must be a number"),
        (dict(method="joint", functionals="variance:1,variance:2"), "named twice"),
        (dict(mean=(0.5, 0.5), std=(0.5, 0.5)), "3 values"),
        (dict(pool="average"), "vision transformers"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(settings, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        pretrain(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_small_crops_are_whole_patches(tmp_path):
    run = pretrain(
        tmp_path / "run", "dino", small_crops=1, epochs=1, limit=64, **{**VIT, "image_size": 48, "backbone": "test_vit"}
    )
    assert run.recipe.augment.small_size == 18  # patches of 6
    assert math.isfinite(run.metrics[-1]["loss"])


def test_a_batch_that_leaves_a_group_of_one_runs(tmp_path):
    assert math.isfinite(pretrain(tmp_path / "run", "moco", batch_size=25, limit=50, epochs=1).metrics[-1]["loss"])


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


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_multi_crop_runs(backbone, tmp_path):
    settings = dict(backbone=backbone, backbone_arguments={}, image_size=32, limit=64, knn_every=0)
    run = pretrain(tmp_path / "run", epochs=1, small_crops=2, **settings)
    assert run.recipe.augment.small_size == 12
    assert math.isfinite(run.metrics[-1]["loss"])


def test_online_knn_does_not_touch_the_run(tmp_path):
    with_it, without = pretrain(tmp_path / "a", epochs=2), pretrain(tmp_path / "b", epochs=2, knn_every=0)
    assert "knn" in with_it.metrics[-1]
    assert "knn" not in without.metrics[-1]
    for key, value in weights(with_it).items():
        assert torch.equal(value, weights(without)[key]), key


def test_two_processes_do_not_write_to_one_run(tmp_path):
    run = twofold.Run(tmp_path / "run")
    with run.held(), pytest.raises(UsageError, match="another process"):
        pretrain(run.path, epochs=1)


def test_a_known_memory_corruption_is_avoided(tmp_path):
    """Eight channels at 64 pixels crashed in oneDNN with channels innermost (see `twofold.device.layout`)."""
    np.save(tmp_path / "images.npy", np.stack([picture(64, 64, i) for i in range(32)]))
    run = pretrain(tmp_path / "run", data=tmp_path / "images.npy", batch_size=16, epochs=2)
    assert math.isfinite(run.metrics[-1]["loss"])


def test_norms_and_biases_are_exempt_from_decay():
    from twofold.nets.backbone import BackboneSpec

    method = torch.nn.Module()
    method.backbone = BackboneSpec("test_vit", {"img_size": 32}, "default", 32, (), ()).build()
    optimizer = create_optimizer(method, "adamw", 0.1, 0.9)
    decayed, exempt = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    for name, parameter in method.backbone.named_parameters():
        free = parameter.ndim == 1 or name in ("pos_embed", "cls_token")
        assert (id(parameter) in exempt) == free, name
        assert (id(parameter) in decayed) != free, name
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


def test_the_rate_warms_up_and_falls():
    rates = [warmup_cosine(2.0, step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_metrics_have_plain_numbers_only(finished):
    for line in (finished.path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        plain = [*row.pop("measures", {}).values(), *row.values()]
        assert all(isinstance(value, int | float) for value in plain)
