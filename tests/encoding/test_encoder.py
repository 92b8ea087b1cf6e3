"""A network that is looked at: what it gives, and that looking changes nothing of it."""

import pytest
import timm
import torch

from tests.conftest import TINY
from twofold.encoding.encoder import Encoder
from twofold.nets.backbone import BackboneSpec

MEAN, STD = (0.3, 0.4, 0.5), (0.2, 0.3, 0.4)
SPEC = BackboneSpec("resnet18", TINY["backbone_arguments"], "small", 8, MEAN, STD, 16)
IMAGES = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plainly(backbone):
    scaled = torch.stack([(IMAGES[:, c] / 255 - MEAN[c]) / STD[c] for c in range(3)], 1)
    with torch.no_grad():
        return backbone.eval()(scaled)


def test_features_are_the_networks_own():
    backbone = SPEC.build()
    torch.testing.assert_close(Encoder(backbone, SPEC, torch.device("cpu"))(IMAGES), plainly(backbone))


def test_many_pixels_pass_in_parts(monkeypatch):
    """So that memory does not grow with the batch: 256 photographs at once take gigabytes."""
    seen = []

    class Seen(torch.nn.Flatten):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    monkeypatch.setattr("twofold.encoding.encoder.PIXELS", 4 * 8 * 8 + 63)
    spec = BackboneSpec("Flatten", {}, "default", 8, MEAN, STD, 192)
    found = Encoder(Seen(), spec)(IMAGES)
    assert seen == [4, 2]
    torch.testing.assert_close(found, plainly(torch.nn.Flatten()))


def test_looking_changes_nothing():
    """Neither weights, nor statistics, nor where they lie in memory, nor which parts are in training."""
    backbone = SPEC.build().train()
    backbone.layer1.eval()  # frozen statistics, say
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    modes = [part.training for part in backbone.modules()]
    Encoder(backbone, SPEC)(IMAGES)
    assert [part.training for part in backbone.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert backbone.conv1.weight.is_contiguous()
    with pytest.raises(RuntimeError):
        Encoder(backbone, SPEC)(IMAGES[:, :, :0])
    assert [part.training for part in backbone.modules()] == modes


def test_it_computes_in_the_networks_own_numbers():
    backbone = SPEC.build().double()
    found = Encoder(backbone, SPEC)(IMAGES)
    assert backbone.conv1.weight.dtype == torch.float64
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plainly(backbone.float()), atol=1e-5, rtol=1e-4)
    low = Encoder(backbone.float(), SPEC, precision="bf16")(IMAGES)
    assert low.dtype == torch.float32
    assert 0 < (low - found).abs().max() < 0.05 * found.abs().max()


def test_a_network_without_weights():
    spec = BackboneSpec("Flatten", {}, "default", 8, MEAN, STD, 192)
    assert Encoder(torch.nn.Flatten(), spec)(IMAGES).shape == (6, 192)


def test_features_may_be_learned_from():
    """They are plain tensors: a head on them gets its gradient."""
    features = Encoder(timm.create_model("test_resnet", num_classes=0), SPEC)(IMAGES.repeat(1, 1, 4, 4))
    head = torch.nn.Linear(features.shape[1], 2)
    head(features).sum().backward()
    assert head.weight.grad.abs().sum() > 0
