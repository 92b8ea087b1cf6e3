"""`twofold.features`: the same vectors as on every other way, in the order of the images."""

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

import twofold
from tests.conftest import encoded, picture
from twofold.data.opening import open_data
from twofold.data.sources import Array
from twofold.encoding.features import features
from twofold.errors import UsageError

IMAGES = np.stack([picture(8, 8, i).transpose(2, 0, 1) for i in range(10)])


def test_a_run_gives_what_it_embeds_and_is_evaluated_on(finished):
    """To the bit, by its path, as an object, and from memory; the training images first."""
    found = features(finished.path, "digits")
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), twofold.embed(finished, "digits").vectors)
    test = open_data("digits").test
    torch.testing.assert_close(features(finished, torch.from_numpy(test.images)), found[1438:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features(finished, test), found[1438:], atol=1e-5, rtol=1e-5)
    twofold.evaluate(finished, protocols="knn")
    kept = [np.load(path)["values"] for path in (finished.path / "features").glob("pretrained-*.npz")]
    assert any(len(v) == 359 and np.array_equal(v, features(finished, test).numpy()) for v in kept)


def test_a_backbone_that_was_loaded_knows_its_preparation(finished):
    """As timm's own models do: no size, mean or deviation need be given."""
    backbone = twofold.load_backbone(finished)
    assert torch.equal(features(backbone, IMAGES), features(finished, IMAGES))
    config = timm.data.resolve_model_data_config(backbone)
    assert (config["input_size"], config["mean"]) == ((3, 8, 8), finished.spec.mean)


def test_any_network_is_a_backbone():
    """Its input is prepared as asked for, else as timm says, else as for ImageNet; it stays as it is."""
    own = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    mean, std = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)
    found = features(own, IMAGES, size=8, mean=mean, std=std)
    plain = (torch.from_numpy(IMAGES).double().mean((2, 3)) / 255 - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(found, plain.float(), atol=1e-5, rtol=1e-5)
    assert own.training
    usual = (plain * torch.tensor(std) + torch.tensor(mean) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(features(own, IMAGES), usual.float(), atol=0.05, rtol=0)  # resized to 224 pixels
    vit = timm.create_model("test_vit", num_classes=0)
    assert features(vit, IMAGES[:2]).shape == (2, 64)  # at its own 160 pixels


def test_batches_change_nothing_and_progress_is_told():
    own, told = nn.Flatten(), []
    at_once = features(own, IMAGES, size=8)
    few = features(own, IMAGES, size=8, batch_size=4, tell=lambda *words: told.append(words))
    assert torch.equal(at_once, few)
    assert told == [("images", 4, 10), ("images", 8, 10), ("images", 10, 10)]


def test_an_unreadable_image_is_named(tmp_path):
    """A row must be an image: it cannot be left out in silence."""
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"no image" if number == 1 else encoded(picture(8, 8)))
    with pytest.raises(UsageError, match=r"1\.png cannot be read: not an image"):
        features(nn.Flatten(), tmp_path, size=8)


class Giving(nn.Module):
    """A network that gives what a function makes of images."""

    def __init__(self, forward):
        super().__init__()
        self.forward = forward


@pytest.mark.parametrize(
    ("backbone", "settings", "words"),
    [
        ("resnet81", {}, "no timm model 'resnet81'; did you mean"),
        (nn.Flatten(), {"size": 0}, "size must be at least 1"),
        (nn.Flatten(), {"mean": (0.5,)}, "std must be 1 number above 0"),
        (nn.Flatten(), {"std": (0.5, 0.5, 0.0)}, "std must be 3 numbers above 0"),
        (nn.Flatten(), {"batch_size": 0}, "batch_size must be at least 1"),
        (nn.Identity(), {}, r"but a tensor \[1, 3, 224, 224\] of float32: wrap it in a module"),
        (Giving(lambda x: {"last": x, "pooled": x.mean((2, 3))}), {}, "but a dict with last, pooled: wrap it"),
        (Giving(lambda x: (x, x)), {}, "but a tuple of 2: wrap it"),
        (Giving(lambda x: x.mean((2, 3)).long()), {}, r"but a tensor \[1, 3\] of int64: wrap it"),
        (nn.Linear(5, 2), {}, "does not take images of 224 pixels"),
    ],
)
def test_what_cannot_work_is_one_line(backbone, settings, words):
    with pytest.raises(UsageError, match=words) as caught:
        features(backbone, Array(IMAGES), **settings)
    assert "\n" not in str(caught.value)


def test_patches_have_vectors_a_grid_and_places(tmp_path):
    """A photograph's patch is found where it is in the photograph, whose outer part the crop has left out."""
    photo = np.zeros((200, 400, 3), np.uint8)
    photo[40:60, 220:240] = 255  # around (230, 50)
    (tmp_path / "photo.png").write_bytes(encoded(photo))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model("test_resnet", num_classes=0).eval()
    found = features(network, tmp_path, patches=True, size=160)
    assert (found.vectors.shape, found.grid, found.centres.shape) == ((1, 25, 96), (5, 5), (1, 25, 2))
    torch.testing.assert_close(found.vectors.mean(1), features(network, tmp_path, size=160), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.maps[0, 1, 2], found.vectors[0, 7])
    plain = features(network, [np.zeros_like(photo)], patches=True, size=160)
    torch.testing.assert_close(plain.centres, found.centres)
    changed = (found.vectors - plain.vectors).square().sum(-1)[0].argmax()
    assert (found.centres[0, changed] - torch.tensor([230.0, 50.0])).abs().max() <= 175 / 5 / 2  # half a patch


def test_a_network_without_a_map_is_one_line():
    with pytest.raises(UsageError, match="Flatten has no features of patches: it needs a method forward_features"):
        features(nn.Flatten(), IMAGES, size=8, patches=True)


def test_images_are_resized_by_the_filter_that_the_backbone_was_trained_with():
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 48, 48), dtype=np.uint8)
    pixels = nn.Flatten()
    found = {}
    for interpolation in ("bilinear", "bicubic"):
        pixels.pretrained_cfg = dict(
            input_size=(3, 16, 16), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=interpolation, crop_pct=1.0
        )
        found[interpolation] = twofold.features(pixels, images)
        due = F.interpolate(torch.from_numpy(images), (16, 16), mode=interpolation, antialias=True)
        torch.testing.assert_close(found[interpolation], due.flatten(1) / 255)
    assert not torch.equal(*found.values())
