"""Backbones for other programs load as they say, and give the same features."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import twofold
from tests.conftest import picture, tiny
from twofold.cli import main
from twofold.errors import UsageError
from twofold.outputs.export import export


def run_lines(text):
    """Execute the lines that an export prints for its user; the model they load."""
    lines = [line.strip() for line in text.splitlines()[1:]]
    names = {}
    exec("\n".join(lines), names)
    return names["model"].eval()


@pytest.fixture(scope="module")
def full_width(tmp_path_factory):
    out = tmp_path_factory.mktemp("full") / "run"
    settings = {**tiny("simclr"), "backbone_arguments": {}, "limit": 32, "batch_size": 32, "epochs": 1, "knn_every": 0}
    return twofold.pretrain(out=out, quiet=True, **settings)


@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_exports_load_as_they_say(kind, full_width, tmp_path):
    said = export(full_width, tmp_path / "weights.safetensors", kind)
    mean = ", ".join(f"{value:.4g}" for value in full_width.spec.mean)
    assert f"in 8 x 8 pixels, resized by the bicubic filter, from 0 to 1, less the mean ({mean})" in said
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(run_lines(said)(images), twofold.load_backbone(full_width)(images))


def test_images_that_are_prepared_as_it_says_have_the_features_that_embed_writes(tmp_path):
    photographs = [Image.fromarray(picture(96, 128, number)) for number in range(4)]
    photographs.append(Image.fromarray(picture(40, 60, 9)))
    settings = tiny("simclr", data=photographs, image_size=32, limit=5, batch_size=4, epochs=1, knn_every=0)
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    said = export(run, tmp_path / "weights.safetensors")
    assert (
        "the central square, whose side is 0.875 of the shorter side of an image of over 64 pixels, in 32 x 32" in said
    )
    crops = [image.crop((22, 6, 106, 90)) for image in photographs[:4]] + [photographs[4].crop((10, 0, 50, 40))]
    small = np.stack([np.asarray(crop.resize((32, 32), Image.Resampling.BICUBIC)) for crop in crops])
    images = (torch.from_numpy(small).permute(0, 3, 1, 2) / 255 - channels(run.spec.mean)) / channels(run.spec.std)
    with torch.no_grad():
        found = run_lines(said)(images)
    written = torch.from_numpy(twofold.embed(run, photographs).vectors)
    assert torch.nn.functional.cosine_similarity(found, written).min() > 0.9999


def channels(values):
    return torch.tensor(values)[:, None, None]


def test_torchvision_gets_only_what_it_has(finished, tmp_path):
    with pytest.raises(UsageError, match="torchvision has no resnet18 with"):
        export(finished, tmp_path / "weights.safetensors", "torchvision")


@pytest.mark.filterwarnings("ignore")
def test_onnx(finished, tmp_path):
    import onnx
    from onnx.reference import ReferenceEvaluator

    export(finished, tmp_path / "backbone.onnx", "onnx")
    model = onnx.load(tmp_path / "backbone.onnx")
    assert [(entry.key, entry.value[:29]) for entry in model.metadata_props] == [
        ("preparation", "images are the central square")
    ]
    images = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)  # another batch size than it was traced with
    (features,) = ReferenceEvaluator(model).run(None, {"images": images})
    with torch.no_grad():
        expected = twofold.load_backbone(finished)(torch.from_numpy(images))
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-5)


def test_any_share_of_what_a_run_from_weights_has_learned(finished, tmp_path):
    """The run's own backbone has half of it."""
    settings = {**tiny("simclr"), "weights": str(finished.path), "limit": 32, "batch_size": 16, "epochs": 2, "lr": 0.1}
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    start, learned = run.start().state_dict(), run.method().exported.backbone.state_dict()
    assert not torch.allclose(start["conv1.weight"], learned["conv1.weight"], atol=1e-4)
    for share in (1, 0.25):
        file = tmp_path / f"{share}.safetensors"
        main(["export", str(run.path), "--out", str(file), "--interpolate-weights", str(share)])
        for name, value in load_file(file).items():
            between = start[name] + share * (learned[name] - start[name])
            torch.testing.assert_close(value, learned[name] if value.dtype == torch.int64 else between)
    export(run, tmp_path / "own.safetensors")
    own = run.backbone().state_dict()
    assert all(torch.equal(value, own[name]) for name, value in load_file(tmp_path / "own.safetensors").items())

    for wrong, why in ((0, "above 0, not 0"), (1.5, "at most 1, not 1.5")):
        with pytest.raises(UsageError, match=f"interpolate_weights must be {why}"):
            export(run, tmp_path / "wrong.safetensors", interpolate_weights=wrong)
    for without in (finished, run.path / "start"):
        with pytest.raises(UsageError, match="interpolate_weights needs a run that started from weights"):
            export(without, tmp_path / "wrong.safetensors", interpolate_weights=1)
    (run.path / "checkpoint.pt").unlink()
    with pytest.raises(UsageError, match="has no checkpoint yet"):
        export(run, tmp_path / "wrong.safetensors", interpolate_weights=1)
    assert not (tmp_path / "wrong.safetensors").exists()


def test_a_file_is_what_its_ending_says(finished, tmp_path):
    for name, format in (("w.onnx", "timm"), ("w.pth", "torchvision"), ("w.safetensors", "onnx")):
        with pytest.raises(UsageError, match=rf"w\.\w+ must end in \.\w+ in the format {format}"):
            export(finished, tmp_path / name, format)
    assert not list(tmp_path.iterdir())
