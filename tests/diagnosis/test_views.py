"""What is measured on distorted views: always the same ones, of readable images."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import picture
from twofold.data.decode import Unreadable
from twofold.data.sources import Array
from twofold.diagnosis import views
from twofold.diagnosis.views import VIEWS, encoded
from twofold.encoding.encoder import Encoder
from twofold.encoding.progress import silent
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.recipe.augment import Augment

IMAGES = np.stack([picture(12, 12, i).transpose(2, 0, 1) for i in range(7)])
ENCODERS = {"pixels": Encoder(nn.Flatten(), BackboneSpec("", {}, "default", 12, (0.0,) * 3, (1.0,) * 3))}


class Breaking(Array):
    """Images of which some cannot be read."""

    broken = (2,)

    def image(self, index):
        if index in self.broken:
            raise Unreadable("broken")
        return super().image(index)


def test_each_readable_image_has_its_views(monkeypatch):
    """Undistorted, a view is the image; batches do not mix images up."""
    still = Augment(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), jitter=0.0, grayscale=0.0, flip=0.0)
    monkeypatch.setattr(views, "BATCH", 4)
    whole, seen = encoded(Breaking(IMAGES), 12, ENCODERS, still, 0, silent)["pixels"]
    assert seen.shape == (6, VIEWS, 3 * 12 * 12)
    torch.testing.assert_close(whole, torch.from_numpy(np.delete(IMAGES, 2, 0)).flatten(1) / 255)
    torch.testing.assert_close(seen, whole[:, None].expand_as(seen), atol=1 / 255, rtol=0)


def test_views_are_a_function_of_the_seed():
    looks = [encoded(Array(IMAGES), 12, ENCODERS, Augment(), seed, silent)["pixels"][1] for seed in (0, 0, 1)]
    assert torch.equal(looks[0], looks[1])
    assert not torch.equal(looks[0], looks[2])
    assert not torch.equal(looks[0][:, 0], looks[0][:, 2])


def test_one_image_is_too_few():
    source = Breaking(IMAGES)
    source.broken = range(1, 7)
    with pytest.raises(UsageError, match="at least 2 must be readable"):
        encoded(source, 12, ENCODERS, Augment(), 0, silent)
