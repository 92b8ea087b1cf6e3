"""A teacher: who it may be, what images it gets, and that it is no part of what learns from it."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from tests.networks import teacher
from twofold.errors import UsageError
from twofold.nets.normalize import Normalize
from twofold.nets.teacher import Teacher, open_teacher, opened
from twofold.nets.weights import PUBLISHED

MEAN, STD = (0.5, 0.4, 0.3), (0.1, 0.2, 0.4)
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def of(name, weights=PUBLISHED, view_size=32, size=0):
    return open_teacher(name, str(weights), view_size, size, MEAN, STD)


def saved(path, name="test_resnet"):
    model = timm.create_model(name)
    torch.save(model.state_dict(), path)
    return model


def expected(network, images, mean, std):
    with torch.no_grad():
        return network.eval()(Normalize(mean, std)(images))


def test_a_file_of_weights_is_a_teacher_that_gets_images_in_its_own_colours(tmp_path):
    """The views are normalised by other means and deviations than the teacher's images were."""
    model = saved(tmp_path / "teacher.pth")
    found = of("test_resnet", tmp_path / "teacher.pth")
    config = model.pretrained_cfg
    model.reset_classifier(0)
    theirs = expected(model, IMAGES, config["mean"], config["std"])
    assert config["mean"] != MEAN
    torch.testing.assert_close(found(Normalize(MEAN, STD)(IMAGES)), theirs, rtol=1e-4, atol=1e-5)
    assert found.width == theirs.shape[1]


def test_a_run_is_a_teacher(finished):
    found = of(str(finished.path), view_size=8)
    images = IMAGES[..., :8, :8]
    spec = finished.spec
    theirs = expected(finished.backbone(), images, spec.mean, spec.std)
    torch.testing.assert_close(found(Normalize(MEAN, STD)(images)), theirs, rtol=1e-4, atol=1e-5)


def test_a_function_builds_a_teacher():
    found = of("tests.networks:teacher")
    mean, std = timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD
    theirs = expected(teacher(), IMAGES, mean, std)
    torch.testing.assert_close(found(Normalize(MEAN, STD)(IMAGES)), theirs, rtol=1e-4, atol=1e-5)


def test_weights_that_lack_something_make_no_teacher(tmp_path):
    """What a student starts from may be fresh in places; a teacher may not."""
    state = timm.create_model("test_resnet").state_dict()
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UsageError, match=r"does not hold all weights of test_resnet.*layer1.0.conv1.weight"):
        of("test_resnet", tmp_path / "part.pth")


def test_views_are_resized_where_asked_for_and_where_it_takes_no_other_size(tmp_path):
    saved(tmp_path / "vit.pth", "test_vit")
    own = timm.create_model("test_vit").pretrained_cfg["input_size"][-1]
    sizes = [of("test_vit", tmp_path / "vit.pth", view, asked).size for view, asked in ((32, 0), (32, 48), (33, 0))]
    assert sizes == [32, 48, own]
    view = Normalize(MEAN, STD)(IMAGES)
    larger = of("tests.networks:teacher", size=48)
    resized = F.interpolate(IMAGES, (48, 48), mode="bilinear", antialias=True)
    same = of("tests.networks:teacher", view_size=48)(Normalize(MEAN, STD)(resized))
    torch.testing.assert_close(larger(view), same, rtol=1e-4, atol=1e-5)


def test_it_is_no_part_of_its_owner_but_goes_where_that_goes():
    owner = nn.Module()
    owner.teacher = of("tests.networks:teacher")
    owner.layer = nn.Linear(2, 2)
    owner.double().train().requires_grad_(True)
    assert set(owner.state_dict()) == {"layer.weight", "layer.bias"}
    assert len(list(owner.parameters())) == 2
    network = owner.teacher.network
    assert not network.training
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in network.parameters())
    answer = owner.teacher(IMAGES.double())
    assert answer.dtype == torch.float64
    assert not answer.requires_grad


def test_a_teacher_of_other_channels_is_said_to_be():
    with pytest.raises(UsageError, match=r"takes images of 3 channels, and these have 1 \(--channels 3\)$"):
        Teacher(*opened("tests.networks:teacher", PUBLISHED), 32, (0.5,), (0.5,))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda path: of(""), "--teacher needs"),
        (lambda path: of("tset_resnet", path / "teacher.pth"), "did you mean test_resnet"),
        (lambda path: of(str(path)), "no run has ended there"),
        (lambda path: of("test_resnet", path / "none.pth"), "there are no weights"),
    ],
)
def test_what_is_no_teacher_is_said_in_one_line(call, words, tmp_path):
    with pytest.raises(UsageError, match=words) as said:
        call(tmp_path)
    assert "\n" not in str(said.value)
