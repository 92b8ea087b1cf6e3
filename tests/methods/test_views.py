"""The views of a method's own recipe, in a loop of one's own."""

import copy
import dataclasses
import pickle

import pytest
import torch
from torch import nn

import twofold
from tests.methods.test_create import NARROW, TRANSFORMERS, small
from tests.training.making import pretrain
from twofold.errors import UsageError
from twofold.recipe.declared import methods, spec
from twofold.training.prepare import views_for

MEAN, STD = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)


@pytest.mark.parametrize("name", methods())
def test_they_are_what_the_method_declares(name):
    """Every setting of views that its file has is theirs, and the method takes them."""
    method, size = small(name, mean=MEAN, std=STD, seed=5)
    views = twofold.create_views(method)
    declared = {n: v for n, v in spec(name).recipe.items() if hasattr(views.augment, n) and n != "crop_scale"}
    assert {n: getattr(views.augment, n) for n in declared} == declared
    assert views.seed == 5
    assert views.normalize.mean.flatten().tolist() == pytest.approx(MEAN)
    images = torch.randint(0, 256, (8, 3, size, size), dtype=torch.uint8)
    batch = views(images)
    assert len(batch.views) == method.VIEWS + method.whole
    assert (batch.views[0].ids_keep is not None) == (name in TRANSFORMERS)
    assert method(batch, progress=0.5).loss.isfinite()


def test_they_are_those_of_a_run(tmp_path):
    """A run's method has its recipe, so that views made for it are the run's, with its seed and its sizes."""
    run = pretrain(tmp_path / "run", "byol", epochs=1, image_size=16, seed=3)
    of_run = run.recipe
    method = run.method()
    assert method.recipe == of_run
    images = torch.randint(0, 256, (6, 3, 20, 20), dtype=torch.uint8)
    one, two = twofold.create_views(method)(images), views_for(of_run, method)(images)
    for a, b in zip(one.views, two.views, strict=True):
        assert torch.equal(a.images, b.images)
    assert one.views[1].images.shape == (6, 3, 16, 16)


def test_photographs_have_the_methods_small_crops():
    method = twofold.create_method("dino", "test_resnet", 128)
    views = twofold.create_views(method)
    assert [v.images.shape[-1] for v in views(torch.rand(2, 3, 130, 140)).views] == [128] * 2 + [56] * 8
    fewer = twofold.create_views(method, small_crops=1, flip=0.0, small_size=32)
    assert [v.images.shape[-1] for v in fewer(torch.rand(2, 3, 130, 140)).views] == [128] * 2 + [32]
    assert dataclasses.replace(views.augment, small_crops=1, flip=0.0, small_size=32) == fewer.augment


def test_bands_of_measurements_have_no_colours():
    method = twofold.create_method(
        "vicreg", "resnet18", 16, channels=5, mean=(0.5,) * 5, std=(0.2,) * 5, backbone_arguments=NARROW
    )
    views = twofold.create_views(method)
    assert views.augment.colours == "none"
    assert views.augment.solarize == (0.0, 0.0)
    assert method(views(torch.randn(4, 5, 16, 16)), progress=0).loss.isfinite()


def test_what_has_no_use_is_refused():
    class Own(twofold.Method):
        forward = collapsed_loss = None

    method, _ = small("vicreg")
    for other in (Own(nn.Identity()), nn.DataParallel(method)):
        with pytest.raises(UsageError, match=r"only what twofold\.create_method has made has a recipe"):
            twofold.create_views(other)
    with pytest.raises(UsageError, match=r"views have no setting 'crop_scal'.*crop_scale"):
        twofold.create_views(method, crop_scal=(0.5, 1))
    with pytest.raises(UsageError, match="masking is for vision transformers"):
        twofold.create_views(method, mask=(0.5, 0.0))
    method, _ = small("rotation")
    with pytest.raises(UsageError, match="rotation has no use for small crops"):
        twofold.create_views(method, small_crops=2)
    with pytest.raises(UsageError, match="rotation learns which way images are turned: set --turn 0"):
        twofold.create_views(method, turn=0.75)


def test_a_copy_has_the_same_views():
    method, _ = small("simclr")
    for copied in (copy.deepcopy(method), pickle.loads(pickle.dumps(method))):
        assert copied.recipe == method.recipe
        assert twofold.create_views(copied).augment == twofold.create_views(method).augment
