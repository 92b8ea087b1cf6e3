"""Distillation: whose answers the student learns, how often they are computed, and where the teacher is kept."""

import shutil

import pytest
import timm
import torch
from safetensors.torch import save_file

import twofold
from tests.conftest import tiny
from tests.methods.making import inputs_of, loss_of, made
from tests.networks import teacher
from twofold.batch import Batch
from twofold.errors import UsageError
from twofold.storage import files
from twofold.storage.metrics import Metrics


def test_the_loss_is_the_share_of_the_teachers_variance_that_is_not_explained():
    """In float64, by the formula: every feature standardised over the batch."""
    method, batch = made("distill", teacher_view="same", precision="fp64")
    method.double().eval()
    view = batch.views[0].images.double()
    theirs = method.teacher(view)
    y = (theirs - theirs.mean(0)) / theirs.std(0, unbiased=False)
    with torch.no_grad():
        x = method.projector(method.backbone(view))
        loss = method([view], 0.0).loss
    assert loss.item() == pytest.approx(((x - y) ** 2).mean().item(), rel=1e-3)  # a thousandth: variances have a floor


@pytest.mark.parametrize(("view", "number"), [("same", 0), ("whole", 1)])
def test_the_teacher_sees_the_students_view_or_the_whole_image(view, number):
    method, batch = made("distill", teacher_view=view)
    (seen,) = inputs_of(method.teacher, lambda: loss_of(method, batch))
    assert torch.equal(seen, batch.views[number].images)


def test_a_whole_image_is_shown_to_the_teacher_once():
    """Only what is new in a batch is computed, and every image has its own answer."""
    method, batch = made("distill", teacher_view="whole")
    parts = [Batch(batch.views, torch.tensor(index), batch.chance) for index in (range(32), range(16, 48), range(32))]
    sizes = [[len(seen) for seen in inputs_of(method.teacher, lambda p=part: loss_of(method, p))] for part in parts]
    assert sizes == [[32], [16], []]
    answers = method.teacher(batch.views[1].images)
    torch.testing.assert_close(method.taught[:32], answers)
    torch.testing.assert_close(method.taught[32:48], answers[16:])
    assert method.known.nonzero()[:, 0].tolist() == list(range(48))
    seen = Batch(batch.views[:1], torch.arange(40, 8, -1), batch.chance)  # all known, so no whole view comes
    before = loss_of(method, Batch(batch.views, seen.index, batch.chance))
    assert not inputs_of(method.teacher, lambda: loss_of(method, seen))
    assert loss_of(method, seen) == before


def test_other_images_and_an_earlier_state_leave_no_wrong_answers():
    """In eval mode an image's number is not that of a training image; a state that is loaded knows what it knew."""
    method, batch = made("distill", teacher_view="whole")
    numbered = Batch(batch.views, torch.arange(32), batch.chance)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.eval()
    assert [len(inputs_of(method.teacher, lambda: loss_of(method, numbered))) for _ in "xy"] == [1, 1]
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    method.train()
    method.known[32:] = True
    for _ in "xy":
        loss_of(method, numbered)
    assert method.all_known
    method.load_state_dict(before)
    torch.testing.assert_close(method.answers(numbered), method.teacher(batch.views[1].images))


def test_images_without_numbers_and_distorted_ones_are_shown_every_time():
    method, batch = made("distill", teacher_view="whole")
    for views, index in ((batch.views, None), (batch.views[:1], batch.index)):
        plain = Batch(views, index, batch.chance)
        assert [len(inputs_of(method.teacher, lambda p=plain: loss_of(method, p))) for _ in "xy"] == [1, 1]


@pytest.fixture
def weights(tmp_path):
    """A file of a teacher's weights."""
    path = tmp_path / "teacher.safetensors"
    torch.manual_seed(7)
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


def test_a_run_keeps_its_teacher_and_goes_on_without_the_file(weights, tmp_path):
    """Once, outside of the checkpoints; a run that broke off ends as one that was not, bit for bit."""
    settings = tiny("distill", teacher="test_resnet", teacher_weights=str(weights), teacher_size=32, image_size=8)
    whole = twofold.pretrain(out=tmp_path / "whole", quiet=True, **settings)
    half = tmp_path / "half"
    write, rows = Metrics.write, iter(range(8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Metrics, "write", lambda self, row: (next(rows), write(self, row)))
        with pytest.raises(StopIteration):
            twofold.pretrain(out=half, quiet=True, save_every=3, **settings)
    weights.unlink()
    assert "teacher test_resnet (0.4 million weights), 96 features" in (half / "log.txt").read_text()
    resumed = twofold.pretrain(out=half, quiet=True, save_every=3, **settings)
    states = [files.load(run.path / "checkpoint.pt")["method"] for run in (whole, resumed)]
    assert all(torch.equal(state, states[1][key]) for key, state in states[0].items())
    assert not any(key.startswith("teacher") for key in states[0])
    theirs = resumed.method().teacher.network.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in whole.method().teacher.network.state_dict().items())
    assert twofold.diagnose(resumed)["measures"]["embeddings"]
    scores = twofold.evaluate(resumed, protocols=("knn",), baseline=str(half / "teacher"))["scores"]["knn"]
    assert {"pretrained", "projector", str(half / "teacher")} <= scores.keys()
    shutil.rmtree(half / "teacher")
    with pytest.raises(UsageError, match="teacher"):
        resumed.method()


@pytest.mark.parametrize("view", ["same", "whole"])
def test_a_student_learns_what_its_teacher_knows(view, tmp_path):
    own = dict(teacher_view=view, backbone="tests.networks:three_layers", backbone_arguments={}, projector=())
    settings = tiny("distill", **own, crop_scale=(1.0, 1.0), epochs=20, lr=4e-2)
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    losses = [row["loss"] for row in run.metrics]
    assert losses[-1] < 0.5 < 0.9 < losses[0]
    assert run.metrics[0]["collapsed"] == 1.0


def test_a_method_in_ones_own_loop_is_told_how_views_are_normalised():
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    views = twofold.Views(16, views=1, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), crop_scale=(1.0, 1.0))
    method = twofold.create_method(
        "distill", "test_resnet", 16, teacher="tests.networks:teacher", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
    )
    (given,) = inputs_of(method.teacher.network, lambda: method(views(images), 0.0))
    plain = twofold.Views(16, views=1, crop_scale=(1.0, 1.0))(images).views[0].images
    torch.testing.assert_close(given, plain, rtol=1e-4, atol=1e-5)
    assert teacher()(plain).shape == (8, method.teacher.width)
