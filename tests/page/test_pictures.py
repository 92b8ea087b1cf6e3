"""Views on the page are those that the network gets."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import batch_of, resolved, tiny
from twofold.data.opening import open_data
from twofold.methods import jigsaw
from twofold.methods.building import backbone_spec, build_method, fresh_backbone
from twofold.page.pictures import restored, seen, views_of_images


def pixels(shown):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))))


def settings_for(method, **settings):
    """A run's recipe, with colours that are not those of any normalisation by default."""
    given = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.3, 0.4), "image_size": 8, **tiny(method), **settings}
    return resolved(**given)


def rows_of(settings):
    """The page's rows of views of digits, for a run with these settings."""
    spec = backbone_spec(settings)
    return views_of_images(open_data("digits").train, settings, spec, fresh_backbone(spec, 0))


def test_an_undistorted_view_is_the_image():
    still = dict(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), jitter=0.0, grayscale=0.0, flip=0.0)
    rows = rows_of(settings_for("simclr", **still))
    assert len(rows) == 6
    for row in rows:
        assert [len(step) for step in row.steps] == [2, 2, 2]
        for view in (view for step in row.steps for view in step):
            assert np.abs(pixels(view)[..., :3].astype(int) - pixels(row.image)).max() <= 1


def test_masked_patches_and_gaps_are_blank_and_small_crops_small():
    def blank(view):
        shown = pixels(view)  # without a fourth channel where all is opaque
        return 1 - (shown[..., 3] > 0).mean() if shown.shape[-1] == 4 else 0.0

    for row in rows_of(settings_for("mae")):
        assert blank(row.steps[0][0]) == pytest.approx(0.75)
    for row in rows_of(settings_for("pirl")):
        whole, tiles = row.steps[0]
        assert blank(whole) == 0
        assert blank(tiles) > 0.2
    rows = rows_of(settings_for("simclr", image_size=16, small_crops=3, small_size=8))
    assert [view.share for view in rows[0].steps[0]] == [1, 1, 0.5, 0.5, 0.5]


def test_tiles_are_those_the_method_sees(monkeypatch):
    """What jigsaw's backbone is given is what the page shows."""
    settings = settings_for("jigsaw")
    method = build_method(settings, backbone_spec(settings), 4).eval()
    batch = batch_of(method, settings, [torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))])
    given = []
    monkeypatch.setattr(
        jigsaw.Jigsaw, "encode", lambda self, view: given.append(view.images) or self.backbone(view.images)
    )
    method(batch, 0.0)
    shown = seen(batch, method)[0]
    side = method.tile
    cell = shown.shape[-1] // 3
    gap = (cell - side) // 2
    for number, tile in enumerate(given[0].unflatten(0, (4, 9))[2]):
        top, left = number // 3 * cell + gap, number % 3 * cell + gap
        assert torch.equal(shown[2, :3, top : top + side, left : left + side], tile)
    assert restored(shown, settings).dtype == torch.uint8
