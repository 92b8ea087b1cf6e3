"""A run that starts from weights: its input follows them, they are a yardstick, and they are needed once."""

import json
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import twofold
from tests.cli.running import twofold as command
from tests.conftest import TINY, picture, tiny
from tests.killing import KILLED, at_call, in_a_child
from tests.test_run import PLAIN_TIMM
from tests.training.making import pretrain
from tests.training.making import weights as checkpoint_of
from twofold.cli import main
from twofold.errors import UsageError
from twofold.recipe.recipe import wanted
from twofold.storage import files, metrics
from twofold.training.log import Log
from twofold.training.opening import open_run

SMALL = TINY["backbone_arguments"]


def save_weights(path, name="resnet18", **arguments):
    """A file of weights as MoCo's authors save them, and the network that has them."""
    torch.manual_seed(7)
    network = timm.create_model(name, **arguments)
    tensors = {f"module.encoder_q.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": tensors, "epoch": 200}, path)
    return network


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A file of weights of the tiny backbone."""
    path = tmp_path_factory.mktemp("source") / "moco.pth"
    save_weights(path, **SMALL)
    return path


@pytest.fixture(scope="module")
def started(source, tmp_path_factory):
    """A run from that file, of views of 16 pixels."""
    out = tmp_path_factory.mktemp("started") / "run"
    return pretrain(out, weights=source, image_size=16, epochs=2, lr=0.1)


@pytest.fixture
def images(tmp_path):
    """70 images of 24 pixels: without weights that is the size of views, and a ResNet has the small stem."""
    np.save(tmp_path / "images.npy", np.stack([picture(24, 24, i) for i in range(70)]))
    return str(tmp_path / "images.npy")


PREPARED = {
    "resnet18": (224, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "default"),
    "test_resnet": (160, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "default"),
}


@pytest.mark.parametrize("backbone", PREPARED)
def test_images_are_prepared_as_for_the_weights_unless_somebody_says_otherwise(backbone, images, tmp_path):
    arguments = SMALL if backbone == "resnet18" else {}
    save_weights(tmp_path / "file.pth", backbone, **arguments)

    def prepared(**settings):
        same = dict(data=images, backbone=backbone, backbone_arguments=arguments, batch_size=8)
        asked = wanted(**tiny("simclr", **{**same, "out": str(tmp_path / "run"), **settings}))
        with ExitStack() as held:
            opened = open_run(asked, None, torch.device("cpu"), Log(None), held)
        s, spec = opened.settings, opened.spec
        found = (s.image_size, s.augment.interpolation, s.mean, s.std, s.stem)
        assert found == (spec.size, spec.interpolation, spec.mean, spec.std, spec.stem)
        return found

    weights = str(tmp_path / "file.pth")
    assert prepared(weights=weights) == PREPARED[backbone]
    given = dict(image_size=32, interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert prepared(weights=weights, **given) == (*given.values(), "default")
    size, interpolation, mean, _, _ = prepared()
    assert (size, interpolation) == (24, "bicubic")
    assert mean != PREPARED[backbone][2]


def test_its_first_weights_are_those_of_the_file(started, source):
    start, file = started.start().state_dict(), torch.load(source, weights_only=True)["state_dict"]
    assert all(torch.equal(value, file[f"module.encoder_q.{key}"]) for key, value in start.items())
    assert not torch.equal(started.untrained().conv1.weight, start["conv1.weight"])
    assert not torch.equal(started.backbone().conv1.weight, start["conv1.weight"])
    log = (started.path / "log.txt").read_text()
    assert f"starts from {source}: 65 of 65 tensors fit under the prefix state_dict.module.encoder_q." in log
    assert "left out: state_dict.module.encoder_q.fc.weight, state_dict.module.encoder_q.fc.bias" in log
    assert "image_size 16: the weights are made for 224, and may be better at that" in log


def test_they_are_a_yardstick_in_every_table(started, capsys):
    first, *rest = started.metrics
    assert {"knn_untrained", "knn_start"} <= first.keys()
    assert not any("knn_start" in row for row in rest)
    main(["evaluate", str(started.path), "digits", "--protocols", "knn"])
    head = capsys.readouterr().out.splitlines()
    assert any("untrained" in line and "start" in line and "pretrained" in line for line in head)
    (note,) = (note for note in started.evaluation["notes"] if "pixels" in note)
    assert "images of 16 pixels; the starting weights are made for 224, at which they may be better" in note
    scores = started.evaluation["scores"]["knn"]
    assert list(scores) == ["raw_pixels", "untrained", "start", "pretrained", "projector"]
    spec = started.spec
    plain = twofold.evaluate(started.start(), "digits", "knn", size=16, mean=spec.mean, std=spec.std)
    assert scores["start"] == plain["scores"]["knn"]["backbone"]
    code, said, _ = command(capsys, "diagnose", started.path, "--images", 40)
    assert code in (0, 3)  # a run as short as this may well have collapsed
    assert "start" in said
    assert list(started.diagnosis["measures"]) == ["untrained", "start", "features", "embeddings"]
    values = [started.diagnosis["measures"][name]["rank"] for name in ("untrained", "start", "features")]
    assert len(set(values)) == 3


def test_the_weights_as_they_are_can_be_used_as_a_run_is(started, tmp_path, capsys):
    """Its folder ``start`` is a backbone of its own: measured, embedded, exported, looked at, loaded."""
    folder = str(started.path / "start")
    main(["evaluate", folder, "digits", "--protocols", "knn"])
    assert "wrote" not in capsys.readouterr().out
    result = twofold.evaluate(folder, "digits", "knn")
    twofold.evaluate(started, "digits", "knn")
    assert result["scores"]["knn"][folder] == started.evaluation["scores"]["knn"]["start"]
    main(["embed", folder, "digits", "--out", str(tmp_path / "v.npy")])
    assert np.load(tmp_path / "v.npy").shape == (1797, started.spec.features)
    main(["export", folder, "--out", str(tmp_path / "w.safetensors")])
    assert torch.equal(load_file(tmp_path / "w.safetensors")["conv1.weight"], started.start().conv1.weight)
    main(["diagnose", folder, "digits", "--images", "40"])
    assert "centred rank" in capsys.readouterr().out
    assert torch.equal(twofold.load_backbone(folder).conv1.weight, started.start().conv1.weight)


def test_the_run_of_another_is_followed_in_everything(finished, images, tmp_path):
    """Its small stem, size and colours: a set of larger images does not choose them."""
    run = pretrain(tmp_path / "run", data=images, weights=finished.path, epochs=1)
    was, now = finished.spec, run.spec
    assert (now.size, now.stem, now.mean, now.std) == (8, "small", was.mean, was.std)
    start = run.start().state_dict()
    for key, value in finished.backbone().state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, start[key])
    again = pretrain(tmp_path / "again", weights=finished.path, epochs=1)  # on the same images
    assert again.metrics[0]["knn_start"] == finished.metrics[-1]["knn"]
    assert again.metrics[0]["knn_untrained"] == finished.metrics[0]["knn_untrained"]
    with pytest.raises(UsageError, match="has a resnet18, not a resnet34: --backbone resnet18"):
        pretrain(tmp_path / "other", weights=finished.path, backbone="resnet34")
    assert not (tmp_path / "other").exists()


def test_killed_it_goes_on_without_the_file_to_the_bit(tmp_path):
    file = tmp_path / "moco.pth"
    save_weights(file, **SMALL)
    settings = dict(weights=file, image_size=16, save_every=3)
    straight = pretrain(tmp_path / "straight", **settings)

    def killed():
        at_call(metrics.Metrics, "write", 8)
        pretrain(tmp_path / "killed", **settings)

    assert in_a_child(killed) == KILLED
    file.unlink()
    run = pretrain(tmp_path / "killed", **settings)
    assert "goes on at step 6 of 12" in (run.path / "log.txt").read_text()
    ours, theirs = checkpoint_of(run), checkpoint_of(straight)
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())
    assert [row["loss"] for row in run.metrics] == [row["loss"] for row in straight.metrics]
    kept = ("backbone.safetensors", "backbone.json")
    for name in (*kept, *(f"start/{file}" for file in kept)):
        assert (run.path / name).read_bytes() == (straight.path / name).read_bytes()
    scores = [twofold.evaluate(each, protocols="knn")["scores"]["knn"] for each in (run, straight)]
    assert scores[0]["start"] == scores[1]["start"]
    with pytest.raises(UsageError, match=f"there are no weights {file}"):
        pretrain(tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stem", ["default", "small"])
def test_what_it_learnt_loads_in_plain_timm(stem, started, finished, tmp_path):
    """In a process that does not import twofold; the same features, and not those that it started with."""
    run = started if stem == "default" else pretrain(tmp_path / "run", weights=finished.path, epochs=1, lr=0.1)
    about = json.loads((run.path / "backbone.json").read_text())
    assert (about["stem"], about["interpolation"]) == (stem, "bicubic")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, run.spec.size, run.spec.size), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    command = [sys.executable, "-c", PLAIN_TIMM, run.path, tmp_path / "images.npy", tmp_path / "features.npy"]
    subprocess.run(command, check=True)
    mean, std = (torch.tensor(about[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    inputs = (torch.from_numpy(pixels).float() / 255 - mean) / std
    with torch.no_grad():
        ours, start = run.backbone()(inputs), run.start()(inputs)
    theirs = torch.from_numpy(np.load(tmp_path / "features.npy"))
    torch.testing.assert_close(theirs, ours)
    assert not torch.allclose(theirs, start, atol=1e-2)
    if stem == "default":
        backbone = timm.create_model(about["name"], num_classes=0, **about["arguments"])
        backbone.load_state_dict(load_file(run.path / "backbone.safetensors"))


def test_weights_move_and_the_statistics_of_norms_stay_unless_somebody_says_otherwise(started, source, tmp_path):
    moving = pretrain(tmp_path / "run", weights=source, image_size=16, epochs=2, lr=0.1, keep_statistics=False)
    for run, stays in ((started, True), (moving, False)):
        before, after = (load_file(run.path / folder / "backbone.safetensors") for folder in ("start", "."))
        assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
        assert torch.equal(before["bn1.running_mean"], after["bn1.running_mean"]) == stays
        assert torch.equal(before["bn1.running_var"], after["bn1.running_var"]) == stays


@pytest.mark.parametrize("method", ["simclr", "dino"])
def test_its_backbone_lies_half_way_between_the_start_and_what_was_learned(method, source, tmp_path):
    """In its file, in the kNN scores while it runs and before the doctor; DINO's is that of the momentum encoder."""
    settings = dict(method=method, weights=source, image_size=16, epochs=2, lr=0.1)
    run = pretrain(tmp_path / "run", **settings)
    assert run.recipe.interpolate_weights == 0.5
    start, learned = run.start().state_dict(), run.method().exported.backbone.state_dict()
    moved = {name for name, value in learned.items() if not torch.equal(value, start[name])}
    assert len(moved) > 20
    for name, value in run.backbone().state_dict().items():
        between = learned[name] if name.endswith("num_batches_tracked") else (start[name] + learned[name]) / 2
        torch.testing.assert_close(value, between)
    further = pretrain(tmp_path / "further", method=method, weights=run.path, epochs=1)
    assert further.metrics[0]["knn_start"] == run.metrics[-1]["knn"]
    before, after = (twofold.diagnose(each, images=40)["measures"] for each in (run, further))
    assert before["features"] == after["start"]

    whole = pretrain(tmp_path / "whole", **settings, interpolate_weights=1.0)
    as_learned = whole.method().exported.backbone.state_dict()
    assert all(torch.equal(value, as_learned[name]) for name, value in whole.backbone().state_dict().items())
    assert all(torch.equal(value, learned[name]) for name, value in as_learned.items())


def test_without_a_start_there_is_nothing_in_between(tmp_path):
    with pytest.raises(UsageError, match="needs weights to start from, and there are none"):
        pretrain(tmp_path / "run", interpolate_weights=0.5)
    assert not (tmp_path / "run").exists()
    assert pretrain(tmp_path / "run", epochs=1).recipe.interpolate_weights == 1


def test_a_start_that_is_needed_and_is_not_whole_is_said_before_the_first_step(source, tmp_path):
    settings = dict(weights=source, image_size=16, save_every=3, knn_every=0)

    def killed():
        at_call(metrics.Metrics, "write", 8)
        pretrain(tmp_path / "run", **settings)

    assert in_a_child(killed) == KILLED
    kept = tmp_path / "run" / "start" / "backbone.safetensors"
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UsageError, match=f"{kept} is damaged"):
        pretrain(tmp_path / "run", **settings)
    kept.unlink()
    with pytest.raises(UsageError, match=f"{kept} is missing, and the run's backbone lies between it and"):
        pretrain(tmp_path / "run", **settings)
    save_file({"conv1.weight": torch.zeros(2)}, kept)
    with pytest.raises(UsageError, match=f"{kept} does not fit the network"):
        pretrain(tmp_path / "run", **settings)
    assert files.load(tmp_path / "run" / "checkpoint.pt")["step"] == 6  # of 12
    kept.write_bytes(content)
    pretrain(tmp_path / "run", **settings)
    assert files.load(tmp_path / "run" / "checkpoint.pt")["step"] == 12


class Remembering(torch.nn.Module):
    """A network that keeps what it computed last, as some do for hooks; torch copies no such thing."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 8)

    def forward(self, images):
        self.seen = self.layer(images.mean((2, 3)))
        return self.seen


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_module_from_python_lies_between_as_it_was_given_and_as_it_became(precision, tmp_path):
    torch.manual_seed(5)
    network = Remembering()
    first = network.layer.weight.detach().clone()
    run = pretrain(
        tmp_path / "run", backbone=network, interpolate_weights=0.25, lr=0.1, backbone_arguments={}, precision=precision
    )
    learned = run.method(into=Remembering()).backbone.layer.weight
    assert not torch.allclose(first, learned, atol=1e-3)
    torch.testing.assert_close(run.backbone(into=Remembering()).layer.weight, first + 0.25 * (learned - first))
    assert torch.equal(network.layer.weight, first)
