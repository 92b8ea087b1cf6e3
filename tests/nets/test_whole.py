"""A network whose weights all come from elsewhere."""

import pytest
import timm
import torch

from twofold.errors import UsageError
from twofold.nets.whole import whole_network


def test_a_transformer_is_fitted_to_the_size_asked_for(tmp_path):
    model = timm.create_model("test_vit", num_classes=0)
    torch.save(model.state_dict(), tmp_path / "vit.pth")
    network, spec = whole_network("test_vit", str(tmp_path / "vit.pth"))
    assert spec.size == model.pretrained_cfg["input_size"][-1]
    images = torch.rand(2, 3, spec.size, spec.size)
    with torch.no_grad():
        torch.testing.assert_close(network(images), model.eval()(images))
    smaller, spec = whole_network("test_vit", str(tmp_path / "vit.pth"), size=128)
    assert spec.size == 128
    assert smaller(images[..., :128, :128]).shape == (2, 64)


def test_no_weight_is_left_at_random(tmp_path):
    state = timm.create_model("test_resnet").state_dict()
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UsageError, match=r"does not hold all weights of test_resnet: it lacks layer1.0.conv1.weight"):
        whole_network("test_resnet", str(tmp_path / "part.pth"))
