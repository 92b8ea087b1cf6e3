"""Views in a training loop: what goes in, what comes out, and that it is the same however it is computed."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.augment.levels import FLOAT, IMAGES, N
from twofold import Distortion, device, dist
from twofold.augment import Views
from twofold.augment.pipeline import alike
from twofold.augment.resample import resized_crop
from twofold.data.plan import MicroBatch, Plan
from twofold.data.resident import Resident
from twofold.errors import UsageError

PLAIN = dict(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, jitter=0.0, grayscale=0.0)
STRONG = dict(blur=(1.0, 0.5), solarize=(0.2, 0.2), small_crops=1)


def images_of(batch):
    return [view.images for view in batch.views]


def assert_same(ones, others):
    for one, other in zip(ones, others, strict=True):
        torch.testing.assert_close(one, other)


def test_without_distortions_a_view_is_the_normalised_image():
    square = IMAGES[..., :40]
    batch = Views(40, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.4), **PLAIN)(square)
    expected = (square / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.1, 0.2, 0.4]).view(
        3, 1, 1
    )
    assert_same(images_of(batch), [expected, expected])
    assert batch.index is None


def test_a_whole_view_is_the_central_square_and_the_same_at_every_step():
    views = Views(40, views=1, whole=True, distortions=[], **STRONG | dict(small_crops=0))
    plain = Views(40, views=1, **PLAIN)(IMAGES[..., (IMAGES.shape[3] - 40) // 2 :][..., :40])
    for step in range(3):
        batch = views(IMAGES, step=step)
        assert len(batch.views) == 2
        torch.testing.assert_close(batch.views[1].images, plain.views[0].images)
    without = Views(40, views=1, **STRONG | dict(small_crops=0))
    assert torch.equal(batch.views[0].images, without(IMAGES, step=2).views[0].images)  # others' draws stay


def objects(*images):
    """An array of objects, as NumPy holds images of several sizes."""
    held = np.empty(len(images), object)
    held[:] = images
    return held


@pytest.mark.parametrize(
    "others", [FLOAT, FLOAT.double(), list(IMAGES), list(FLOAT)], ids="float double list floats".split()
)
def test_images_of_every_kind_give_the_same_views(others):
    assert_same(images_of(Views(32, **STRONG)(IMAGES)), images_of(Views(32, **STRONG)(others)))


def test_images_of_several_sizes_are_each_cropped_as_if_alone():
    several = [image[:, : 20 + 2 * i, : 40 - 3 * i] for i, image in enumerate(IMAGES)]
    views = Views(16)
    together = images_of(views(several, step=4))
    draws = views.draw(4, N)
    for i, image in enumerate(several):
        alone = [drawn.rows(i) for drawn in draws]
        size = torch.tensor([image.shape[1:]])
        for number, (view, drawn) in enumerate(zip(views.pipelines, alone, strict=True)):
            crop = resized_crop(image[None], view.boxes(drawn, size), drawn.flip, 16, "bicubic")
            torch.testing.assert_close(together[number][i : i + 1], views.normalize(view.distort(crop, drawn)))


def test_the_training_loop_makes_the_same_views():
    """Crops from the resident store, finished by the same class."""
    views, plan = Views(32, seed=3, **STRONG), Plan(N, 4, 3)
    sizes = torch.tensor([IMAGES.shape[2:]]).expand(N, 2)
    loader = Resident(IMAGES, sizes, IMAGES.device).load(plan, views, [MicroBatch(s, slice(0, 4)) for s in range(2)])
    for step, part in enumerate(loader):
        own = views(IMAGES[part.index], part.index, step)
        assert torch.equal(own.index, plan.indices(step))
        assert_same(images_of(own), images_of(views.finish(part.crops, part.draws, part.index, own.chance)))


def test_a_loop_of_ones_own_gives_the_neighbours_as_the_training_loop_does():
    views, plan = Views(32, seed=3, **STRONG), Plan(N, 4, 3, torch.arange(N).roll(1)[:, None])
    sizes, place = torch.tensor([IMAGES.shape[2:]]).expand(N, 2), MicroBatch(0, slice(0, 4))
    part = next(iter(Resident(IMAGES, sizes, IMAGES.device).load(plan, views, [place])))
    second = plan.shown(place)[1]
    own = views(IMAGES[part.index], part.index, 0, second=list(IMAGES[second]))
    assert_same(images_of(own), images_of(views.finish(part.crops, part.draws, part.index, own.chance)))
    itself = images_of(views(IMAGES[part.index], part.index, 0))
    assert [torch.equal(a, b) for a, b in zip(images_of(own), itself, strict=True)][:2] == [True, False]
    with pytest.raises(UsageError, match="3 second images for 4 first ones"):
        views(IMAGES[:4], second=IMAGES[:3])


@pytest.mark.parametrize("world", [2, 8])
def test_any_number_of_processes_distorts_the_same_images_alike(world, monkeypatch):
    settings = dict(**STRONG, patch_size=8, mask=(0.5, 0.25))
    whole = Views(32, **settings)(IMAGES)
    noise = whole.chance.uniform("noise", 3)
    for rank, part in enumerate(IMAGES.chunk(world)):
        monkeypatch.setattr(dist, "world", lambda: world)
        monkeypatch.setattr(dist, "rank", lambda rank=rank: rank)
        batch, rows = Views(32, **settings)(part), slice(rank * len(part), (rank + 1) * len(part))
        assert_same(images_of(batch), [images[rows] for images in images_of(whole)])
        assert all(
            torch.equal(a.ids_keep, b.ids_keep[rows]) for a, b in zip(batch.views[:2], whole.views[:2], strict=True)
        )
        assert torch.equal(batch.chance.uniform("noise", 3), noise[rows])


def test_steps_count_themselves_and_are_resumed(tmp_path):
    views = Views(16)
    steps = [images_of(views(IMAGES)) for _ in range(4)]
    assert not torch.equal(steps[0][0], steps[1][0])
    resumed = Views(16)
    assert_same(images_of(resumed(IMAGES)), steps[0])
    resumed(IMAGES)
    torch.save(resumed.state_dict(), tmp_path / "views.pt")
    resumed = Views(16)
    resumed.load_state_dict(torch.load(tmp_path / "views.pt", weights_only=True))
    for expected in steps[2:]:
        assert all(map(torch.equal, images_of(resumed(IMAGES)), expected))
    assert all(map(torch.equal, images_of(resumed(IMAGES, step=1)), steps[1]))
    assert all(map(torch.equal, images_of(resumed(IMAGES)), steps[2]))  # it counts on from there


def test_a_mixed_precision_block_changes_nothing():
    plain = images_of(Views(32, **STRONG)(IMAGES))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = images_of(Views(32, **STRONG)(IMAGES))
    assert all(map(torch.equal, plain, mixed))


def test_torchs_default_type_changes_nothing(request):
    request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
    settings = dict(**STRONG, patch_size=8, mask=(0.5, 0.5), mask_shape="block")
    views = [Views(32, **settings)(IMAGES).views]
    torch.set_default_dtype(torch.float64)
    views.append(Views(32, **settings)(IMAGES).views)
    for one, other in zip(*views, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.ids_keep is None or torch.equal(one.ids_keep, other.ids_keep)


def test_views_come_in_the_type_that_is_asked_for():
    plain, double = (images_of(Views(32, dtype=dtype)(IMAGES)) for dtype in (torch.float32, torch.float64))
    assert all(torch.equal(a.double(), b) for a, b in zip(plain, double, strict=True))


def test_full_size_views_and_small_ones():
    views = Views(28, views=3, blur=(1.0, 0.0), small_crops=2)
    assert [v.images.shape[-1] for v in views(IMAGES).views] == [28, 28, 28, 12, 12]
    assert [(drawn.sigma > 0).all().item() for drawn in views.draw(0, N)] == [True, False, False, False, False]
    assert Views(48, small_crops=1, patch_size=8).augment.small_size == 24  # three sevenths, in whole patches


class Darker(Distortion):
    """Of the first view alone."""

    views = (0,)

    def draw(self, n, random):
        return random.uniform("share", n, 0.2, 0.4)

    def apply(self, images, share):
        return images * share[:, None, None, None]


@pytest.mark.parametrize("own", [[], [Darker()]])
@pytest.mark.parametrize(("blur", "solarize"), [((1.0, 0.0), (0.0, 0.5)), ((0.0, 1.0), (0.5, 0.0))])
def test_views_that_are_distorted_as_one_stack_are_those_of_each_alone(own, blur, solarize, monkeypatch):
    """As on a GPU: of views that are blurred and solarised at other rates, small ones and a whole one, to the bit."""
    views = Views(16, blur=blur, solarize=solarize, small_crops=3, small_blur=0.5, whole=True, distortions=own)
    alone = views(IMAGES, step=1)
    monkeypatch.setattr(device, "overlaps", lambda _: True)
    stacked = views(IMAGES, step=1)
    assert len(alike(views.pipelines, stacked=True)) == 3 + len(own) < len(views.pipelines)
    for one, other in zip(alone.views, stacked.views, strict=True):
        assert torch.equal(one.images, other.images)


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_other_channels_have_all_but_colour_operations(channels):
    images = torch.cat([IMAGES, IMAGES], 1)[:, :channels]
    flat = dict(mean=[0.5] * channels, std=[0.25] * channels)
    strong = {name: value for name, value in STRONG.items() if name != "solarize"}
    batch = Views(32, **flat, jitter=0.0, **strong)(images)
    assert [view.images.shape[1] for view in batch.views] == [channels] * 3
    colours = Views(32, mean=[0.5] * 3, std=[0.25] * 3, jitter=0.0, grayscale=0.0, **strong)(IMAGES)
    assert_same([view.images[:, :1] for view in batch.views], [view.images[:, :1] for view in colours.views])
    for name, value in dict(saturation=0.2, hue=0.2, grayscale=0.2, solarize=(0.0, 0.2)).items():
        with pytest.raises(UsageError, match=f"{name} is for red, green and blue"):
            Views(32, **flat, **{name: value})
    assert Views(32, **flat, jitter=0.0, hue=0.1).augment.jitter == 0
    with pytest.raises(UsageError, match=f"colours are 3 channels, red, green and blue, not {channels}"):
        Views(32, **flat, colours="rgb")


def test_the_jitter_of_bands_is_a_gain_and_an_offset_of_each_channel():
    """Three channels that are no colours, floats of any range, uncropped; undone by hand from what was drawn."""
    mean, std = [0.5, 1500.0, -3.0], [0.1, 300.0, 2.0]
    images = torch.randn(N, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = images * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
    plain = dict(mean=mean, std=std, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, colours="none")
    views = Views(32, **plain, jitter=0.5, contrast=0.3, brightness=0.2)
    seen, drawn = views(images).views[0].images, views.draw(0, N)[0]
    level = images.mean((2, 3), keepdim=True)
    gain, offset = drawn.gain[:, :, None, None], drawn.offset[:, :, None, None]
    expected = level + gain * (images - level) + offset
    torch.testing.assert_close(views.normalize.undo(seen), expected, rtol=1e-5, atol=1e-3)
    left = (gain == 1).flatten(1).all(1)
    assert 0.2 < left.float().mean() < 0.8
    moved = gain[~left].flatten(1)
    assert 0.7 <= moved.min() < 0.9 < 1.1 < moved.max() <= 1.3
    assert (moved[:, 0] != moved[:, 1]).all()
    steps = (drawn.offset / torch.tensor(std))[~left]
    assert -0.2 <= steps.min() < -0.1 < 0.1 < steps.max() <= 0.2
    with pytest.raises(UsageError, match="float images must be from 0 to 1"):
        Views(32, mean=mean, std=std)(images)


def test_sixteen_bits_are_seen_as_eight_are():
    plain = dict(mean=[0.5] * 3, std=[0.25] * 3)
    ours, theirs = (Views(32, **plain)(images) for images in (IMAGES.int().mul(257).to(torch.uint16), IMAGES))
    for one, other in zip(ours.views, theirs.views, strict=True):
        torch.testing.assert_close(one.images, other.images, atol=1e-4, rtol=1e-4)


def test_turned_views_are_the_same_views_turned_but_for_the_whole_one():
    views = {turn: Views(16, seed=3, turn=turn, whole=True, small_crops=1) for turn in (0.0, 0.75)}
    upright, turned = (both(IMAGES).views for both in views.values())
    drawn = views[0.75].draw(0, N)
    for one, other, draws in zip(upright, turned, drawn, strict=True):
        for before, after, quarters in zip(one.images, other.images, draws.turn.tolist(), strict=True):
            torch.testing.assert_close(after, before.rot90(quarters, (1, 2)), atol=1e-5, rtol=1e-5)
    assert [bool(draws.turn.any()) for draws in drawn] == [True, True, True, False]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(crop_scales=(0.1, 1.0)), "did you mean crop_scale"),
        (dict(blur=0.5), "blur must be 2 float values"),
        (dict(flip=1.5), "flip must be from 0 to 1"),
        (dict(size=0), "at least 1"),
        (dict(mean=(0.5,)), "a number for each channel"),
        (dict(std=(0.5, 0.0, 0.5)), "std above 0"),
        (dict(std=np.full(3, np.nan)), "std above 0"),
        (dict(dtype=torch.uint8), "floating-point numbers, not uint8"),
    ],
)
def test_settings_that_cannot_be_are_said(settings, words):
    with pytest.raises(UsageError, match=words):
        Views(**settings)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (FLOAT * 255, "float images must be from 0 to 1, not from 0 to 255"),
        (FLOAT.clone().requires_grad_(), "images must need no gradient"),
        (FLOAT - 0.5, "normalised afterwards"),
        (IMAGES[0], r"not uint8 \[3, 40, 48\]"),
        (IMAGES.long(), "not int64"),
        (IMAGES[:, :1], "images of 1 channels need a mean and a std of 1 values, not 3$"),
        (IMAGES.movedim(1, 3), r"channels come first: give images of 3 channels as \[n, 3, H, W\]"),
        (objects(Image.new("RGB", (9, 8))), "not Image; of PIL images torchvision's pil_to_tensor makes such tensors"),
        ([], "no images"),
        (IMAGES[:0], "no images"),
        (torch.tensor(0.5), r"not float32 \[\]"),
    ],
)
def test_images_that_cannot_be_are_said(images, words):
    with pytest.raises(UsageError, match=words):
        Views(32)(images)


def test_in_a_worker_the_step_must_be_given():
    """Each worker has a copy that begins at step 0, in each epoch anew."""
    images = [torch.rand(3, 8, 8) for _ in range(8)]
    views = Views(8)

    def batches(collate):
        return list(torch.utils.data.DataLoader(images, 4, num_workers=1, collate_fn=collate))

    with pytest.raises(UsageError, match="in a worker of a DataLoader every epoch would have the same draws"):
        batches(views)
    given = batches(lambda some: views(some, step=7).views[0].images)
    assert torch.equal(given[0], views(images[:4], step=7).views[0].images)


def test_second_images_need_a_second_view():
    for settings in (dict(views=1), dict(views=1, whole=True), dict(views=1, small_crops=2)):
        with pytest.raises(UsageError, match="have only one: set views=2"):
            Views(16, **settings)(IMAGES, second=IMAGES)


def test_the_images_numbers_may_be_a_list_and_must_be_as_many():
    assert Views(16)(IMAGES, index=list(range(N))).index.tolist() == list(range(N))
    with pytest.raises(UsageError, match=r"the number of each of 8 images, not the shape \[2\]"):
        Views(16)(IMAGES, index=[0, 1])


def test_the_range_of_floats_is_looked_at_also_after_whole_numbers():
    views = Views(16)
    views(IMAGES)
    with pytest.raises(UsageError, match="float images must be from 0 to 1"):
        views(IMAGES.float())


def test_arrays_may_be_read_only_and_of_several_sizes():
    images = [IMAGES[0].numpy().copy(), IMAGES[1, :, 5:].numpy().copy()]
    expected = Views(16)([torch.from_numpy(image) for image in images]).views[0].images
    for image in images:
        image.flags.writeable = False
    for given in (images, objects(*images)):
        assert torch.equal(Views(16)(given).views[0].images, expected)


def test_numbers_and_arrays_of_numpy_are_as_good():
    """Seeds and steps of any kind; arrays that run backwards or have the bytes of their numbers in the other order."""
    plain = Views(16, seed=3)(IMAGES, step=2).views[0].images
    for step in (np.int64(2), torch.tensor(2)):
        assert torch.equal(Views(16, seed=np.int64(3))(IMAGES, step=step).views[0].images, plain)
    deep = IMAGES.numpy().astype(np.uint16)
    for one, other in ((IMAGES.numpy()[:, ::-1], IMAGES.flip(1)), (deep.astype(">u2"), torch.from_numpy(deep))):
        assert torch.equal(Views(16)(one).views[0].images, Views(16)(other).views[0].images)
    with pytest.raises(TypeError):
        Views(16, seed="a")(IMAGES)
