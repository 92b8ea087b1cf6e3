"""A backbone by what people have at hand: a run, timm's name, a file of weights, an own network."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

import twofold
from tests.data.making import Breaking, fill
from twofold import cli
from twofold.data.objects import source_of
from twofold.data.sources import Array
from twofold.encoding.backbones import open_backbone, remarks
from twofold.errors import UsageError
from twofold.nets import published
from twofold.nets.backbone import BackboneSpec


def test_a_timm_model_has_its_own_size_and_normalisation(finished, monkeypatch):
    """Weights from a stand-in, as there may be no network."""
    weights = timm.create_model("test_vit", num_classes=0).state_dict()
    create = timm.create_model

    def stand_in(name, pretrained=False, **arguments):
        made = create(name, **arguments)
        if pretrained:
            made.load_state_dict(weights)
        return made

    monkeypatch.setattr(published, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(timm, "create_model", stand_in)
    encoder = open_backbone("test_vit")
    spec = encoder.spec
    assert (spec.size, spec.mean, spec.features) == (160, (0.5, 0.5, 0.5), 64)
    found = encoder.backbone.state_dict()
    assert all(torch.equal(found[key], value) for key, value in weights.items())


def test_a_file_of_weights_is_measured_embedded_exported_and_looked_at_without_a_run(tmp_path, capsys):
    torch.manual_seed(3)
    model, file = timm.create_model("test_resnet"), tmp_path / "weights.pth"
    torch.save({"state_dict": {f"backbone.{key}": value for key, value in model.state_dict().items()}}, file)
    encoder = open_backbone(file, backbone="test_resnet", size=32)
    images = torch.rand(2, 3, 32, 32)
    model.reset_classifier(0)
    with torch.no_grad():
        theirs = model.eval()((images - 0.5) / 0.5)
    assert encoder.spec.mean == encoder.spec.std == (0.5, 0.5, 0.5)
    torch.testing.assert_close(encoder(images), theirs)
    torch.testing.assert_close(twofold.load_backbone(file, "test_resnet")((images - 0.5) / 0.5), theirs)
    with pytest.raises(UsageError, match=r"weights\.pth holds weights: backbone='NAME' says"):
        twofold.load_backbone(file)

    photos = tmp_path / "photos"
    fill(photos, [f"{kind}/{number}.png" for kind in ("ant", "bee") for number in range(10)])
    named = ["--backbone", "test_resnet"]
    cli.main(["evaluate", str(file), str(photos), "--protocols", "knn", *named])
    cli.main(["embed", str(file), str(photos), "--out", str(tmp_path / "v.npy"), *named])
    cli.main(["export", str(file), "--out", str(tmp_path / "w.safetensors"), *named])
    cli.main(["diagnose", str(file), str(photos), *named])
    said = capsys.readouterr().out
    assert "raw pixels" in said
    assert "create_model('test_resnet', num_classes=0)" in said
    assert "no step" not in said
    assert np.load(tmp_path / "v.npy").shape == (20, theirs.shape[1])
    assert load_file(tmp_path / "w.safetensors").keys() == model.state_dict().keys()


def test_images_that_are_no_pictures_of_8_bits_are_said_to_be_treated_as_such(tmp_path):
    """Numbers of a satellite's, to 3,000 of 65,535, are nearly black that way."""
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    random = np.random.default_rng(0)
    for channels in (3, 5):
        pixels = random.integers(0, 3000, (20, 12, 12, channels)).astype(np.uint16)
        np.savez(tmp_path / f"{channels}.npz", images=pixels, labels=np.arange(20) % 2)
    said = "images with 3 channels of uint16 get the mean and deviation of the pictures"
    words = dict(backbone="test_resnet")
    measured = twofold.evaluate(file, tmp_path / "3.npz", protocols=("knn",), **words)
    written = twofold.embed(file, tmp_path / "3.npz", tmp_path / "v.npy", **words)
    for notes in (measured["notes"], written.notes):
        assert any(note.startswith(said) for note in notes)
    given = twofold.evaluate(file, tmp_path / "3.npz", protocols=("knn",), mean=(0.02,) * 3, std=(0.01,) * 3, **words)
    assert not any(note.startswith(said) for note in given["notes"])
    with pytest.raises(UsageError, match="5 channels of uint16, where 3 are due; pretrain --weights adapts these"):
        twofold.embed(file, tmp_path / "5.npz", **words)


def test_weights_that_nobody_can_place_are_one_line(finished, tmp_path):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="--backbone NAME says which"):
        open_backbone(tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="does not fit"):
        open_backbone(tmp_path / "weights.pth", backbone="test_vit")
    with pytest.raises(UsageError, match="of no use with anything but a file of weights"):
        open_backbone("test_resnet", backbone="test_resnet")
    with pytest.raises(UsageError, match="of no use with a run"):
        twofold.evaluate(finished, backbone="resnet18")


def test_a_baseline_that_cannot_be_had_is_one_line(finished, monkeypatch, capsys):
    def offline(*words, **arguments):
        raise OSError("no route\nto the hub")

    monkeypatch.setattr(published, "get_hf_file_metadata", offline)
    with pytest.raises(UsageError, match=r"published weights of resnet18 cannot be had \(no route to the hub\)"):
        open_backbone("resnet18")
    with pytest.raises(SystemExit) as end:
        cli.main(["evaluate", str(finished.path), "--baseline", "resnet81"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "did you mean resnet" in said
    assert said.count("\n") == 1


def test_images_of_another_scale_are_said():
    """As 8-bit pictures are to a run that learned from 12 bits in files of 16, or other units of floats."""
    spec = BackboneSpec("test_resnet", {}, "default", 8, (0.03,) * 3, (0.01,) * 3)
    grey = np.full((40, 3, 8, 8), 128, np.uint8)
    (said,) = remarks(spec, Array(grey))
    assert said.startswith("in the mean these images are 47 standard deviations brighter than those that the backbone")
    assert remarks(spec, Array(np.full((4, 3, 8, 8), 0.05, np.float32))) == ()
    assert "5 standard deviations darker" in remarks(spec, Array(np.full((4, 3, 8, 8), -0.02, np.float32)))[0]
    photographs = BackboneSpec("test_resnet", {}, "default", 8, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    for value in (0, 255):
        assert remarks(photographs, Array(np.full((4, 3, 8, 8), value, np.uint8))) == ()
    assert remarks(photographs, Array(np.full((4, 3, 8, 8), 255, np.float32))) != ()
    assert remarks(photographs, Breaking(Array(grey), range(40))) == ()


def test_features_of_a_run_take_what_embed_takes(finished):
    """Pixels of another scale are refused, and not taken as they are."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    right = twofold.features(finished, pixels)
    assert torch.allclose(twofold.features(finished, pixels.astype(np.float32) / 255), right, atol=1e-5)
    for wrong in (pixels.astype(np.float32), pixels.astype(np.int16)):
        with pytest.raises(UsageError, match="pixels outside 0 to 1, where uint8 is due"):
            twofold.features(finished, wrong)


def test_long_images_are_said_to_be_hardly_seen():
    spec = BackboneSpec("test_resnet", {}, "default", 8, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    line, square = np.full((3, 200, 4096), 120, np.uint8), np.full((3, 200, 300), 120, np.uint8)
    (said,) = remarks(spec, source_of([np.moveaxis(image, 0, -1) for image in (line, line, square)], "it"))
    assert said.startswith("the backbone sees the central square of an image, 4 % of one of 4096 x 200 pixels: cut")
    assert remarks(spec, source_of([np.moveaxis(image, 0, -1) for image in (line, square, square)], "it")) == ()
