"""Batched operations against torchvision's, image by image; drawn parameters against torchvision's; purity."""

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from tests.conftest import picture
from twofold import rng
from twofold.augment import color, draw_step, views_of
from twofold.augment.resample import gaussian_blur, resized_crop
from twofold.recipe.recipe import Augment

N = 8
IMAGES = torch.stack([torch.from_numpy(picture(40, 48, seed)).permute(2, 0, 1) for seed in range(N)])
IMAGES[0] = IMAGES[0, :1]  # a grey one: no hue
IMAGES[1] = 255  # a white one
FLOAT = IMAGES / 255
LEVEL = 1 / 255


def assert_levels(ours, theirs, levels):
    """At most so many of the 255 levels apart."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max().item() <= levels * LEVEL


def each(function, *parameters):
    """torchvision's operation on every uint8 image with its own parameters."""
    rows = zip(IMAGES, *(p.tolist() for p in parameters), strict=True)
    return torch.stack([function(image, *values) for image, *values in rows]) / 255


def factors(low, high):
    return torch.linspace(low, high, N)


# torchvision rounds a uint8 image to whole levels after every operation, we do not round at all: 0.5 for the rounding,
# and where it truncates instead of rounding, or rounds an intermediate (grey version, HSV), up to 1 or 1.5.
def test_brightness():
    assert_levels(color.adjust_brightness(FLOAT, factors(0, 2)), each(tv.adjust_brightness, factors(0, 2)), 1.01)


def test_contrast():
    assert_levels(color.adjust_contrast(FLOAT, factors(0, 2)), each(tv.adjust_contrast, factors(0, 2)), 2.01)


def test_saturation():
    assert_levels(color.adjust_saturation(FLOAT, factors(0, 2)), each(tv.adjust_saturation, factors(0, 2)), 2.01)


def test_hue():
    assert_levels(color.adjust_hue(FLOAT, factors(-0.5, 0.5)), each(tv.adjust_hue, factors(-0.5, 0.5)), 1.01)


def test_hue_of_zero_and_of_grey():
    torch.testing.assert_close(color.adjust_hue(FLOAT, torch.zeros(N)), FLOAT)
    torch.testing.assert_close(color.adjust_hue(FLOAT[:2], torch.tensor([0.3, -0.2])), FLOAT[:2])


def test_grayscale():
    ours = color.to_grayscale(FLOAT, torch.arange(N) % 2 == 0)
    assert_levels(ours[::2], each(lambda image: tv.rgb_to_grayscale(image, 3))[::2], 1.01)
    assert torch.equal(ours[1::2], FLOAT[1::2])


def test_solarize():
    ours = color.solarize(FLOAT, torch.arange(N) % 2 == 0)
    assert_levels(ours[::2], each(lambda image: tv.solarize(image, 128))[::2], 0.01)  # exact: no arithmetic to round
    assert torch.equal(ours[1::2], FLOAT[1::2])


def test_color_jitter_in_every_order():
    """Each sample's own order; 0.5 level of rounding an operation, grown by contrast factors of up to 1.8."""
    operations = [tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue]
    for seed in range(6):
        draws = views_of(Augment(jitter=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2), 32)[0].draw(
            rng.Streams(seed), N
        )
        expected = []
        for row, image in enumerate(FLOAT):
            order = draws.blends[row].tolist()
            order.insert(int(draws.hue_place[row]), 3)
            for operation in order:  # on floats, where torchvision does not round
                image = operations[operation](image, draws.factors[row, operation].item())
            expected.append(image)
        ours = color.color_jitter(FLOAT, draws.factors, draws.blends, draws.hue_place)
        assert_levels(ours, torch.stack(expected), 0.05)


@pytest.mark.parametrize(("sigma", "window"), [(0.1, 3), (1.0, 5), (2.0, 23)])
def test_gaussian_blur(sigma, window):
    sigmas = torch.full((N,), sigma) * torch.linspace(0.8, 1.2, N)
    assert_levels(gaussian_blur(FLOAT, sigmas, window), each(lambda i, s: tv.gaussian_blur(i, window, s), sigmas), 0.51)


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(
    ("name", "mode"), [("bilinear", InterpolationMode.BILINEAR), ("bicubic", InterpolationMode.BICUBIC)]
)
def test_resized_crop(name, mode, size):
    """Growing and shrinking, at the borders and inside, some mirrored.

    torchvision resizes uint8 with 16-bit integer weights and rounds between the two directions: 1.5 levels.
    On floats, where it does not, the two agree to a hundredth of a level.
    """
    random = torch.Generator().manual_seed(0)
    height = torch.randint(1, 41, (N,), generator=random)
    width = torch.randint(1, 49, (N,), generator=random)
    boxes = torch.stack([(40 - height) // 2, 48 - width, height, width], 1)
    boxes[0] = torch.tensor([0, 0, 40, 48])
    flip = torch.arange(N) % 2 == 1

    def theirs(images):
        crops = [
            tv.resized_crop(i, *box, [size, size], mode, True) for i, box in zip(images, boxes.tolist(), strict=True)
        ]
        return torch.stack([c.flip(-1) if f else c for c, f in zip(crops, flip, strict=True)])

    ours = resized_crop(IMAGES, boxes, flip, size, mode.value)
    assert_levels(ours, theirs(IMAGES) / 255, 1.51)
    assert_levels(ours, theirs(FLOAT).clamp(0, 1), 0.01)


def test_padding_is_never_seen():
    """Images smaller than the batch's largest lie in its upper left corner; what is beside them does not matter."""
    padded = torch.full((N, 3, 60, 60), 255, dtype=torch.uint8)
    padded[:, :, :40, :48] = IMAGES
    boxes = torch.tensor([[0, 0, 40, 48]]).expand(N, 4)
    none = torch.zeros(N, dtype=torch.bool)
    torch.testing.assert_close(resized_crop(padded, boxes, none, 32), resized_crop(IMAGES, boxes, none, 32))


def test_crops_are_drawn_as_torchvision_draws_them():
    """Area, ratio and place of 4,000 boxes: means and deviations within 4 standard errors of torchvision's."""
    n = 4000
    view = views_of(Augment(crop_scale=(0.08, 1.0)), 32)[0]
    sizes = torch.tensor([[120, 90]]).expand(n, 2)
    ours = view.boxes(view.draw(rng.Streams(3), n), sizes).double()
    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(32, (0.08, 1.0))
    image = torch.zeros(3, 120, 90, dtype=torch.uint8)
    drawn = [crop.make_params([image]) for _ in range(n)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in drawn]).double()
    for measure in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: (b[:, 3] / b[:, 2]).log(),
        lambda b: b[:, 0] / (121 - b[:, 2]),
        lambda b: b[:, 1] / (91 - b[:, 3]),
    ):
        a, b = measure(ours), measure(theirs)
        assert abs(a.mean() - b.mean()) < 4 * (a.std() + b.std()) / n**0.5
        assert abs(a.std() / b.std() - 1) < 0.08
    assert (ours[:, 0] + ours[:, 2] <= 120).all()
    assert (ours[:, 1] + ours[:, 3] <= 90).all()


def test_a_box_that_cannot_fit_is_the_largest_central_one():
    view = views_of(Augment(crop_scale=(1.0, 1.0)), 32)[0]
    boxes = view.boxes(view.draw(rng.Streams(0), 4), torch.tensor([[10, 100], [100, 10], [1, 1], [30, 30]]))
    assert boxes[0].tolist() == [0, 43, 10, 13]  # width at most 4/3 of the height
    assert boxes[1].tolist() == [43, 0, 13, 10]
    assert boxes[2].tolist() == [0, 0, 1, 1]


def test_parameters_are_drawn_as_said():
    n = 8000
    augment = Augment(blur=(1.0, 0.1), solarize=(0.0, 0.2), hue=0.2, brightness=0.4)
    first, second = draw_step(views_of(augment, 32), 0, 0, n)

    def share(flags):
        return flags.float().mean().item()

    assert share(first.flip) == pytest.approx(0.5, abs=0.03)
    assert share(first.grayscale) == pytest.approx(0.2, abs=0.02)
    assert share(first.sigma > 0) == 1.0
    assert share(second.sigma > 0) == pytest.approx(0.1, abs=0.015)
    assert share(first.solarize) == 0.0
    assert share(second.solarize) == pytest.approx(0.2, abs=0.02)
    jittered = first.factors[:, 0] != 1
    assert share(jittered) == pytest.approx(0.8, abs=0.02)
    for column, low, high in ((0, 0.6, 1.4), (1, 0.6, 1.4), (3, -0.2, 0.2)):
        values = first.factors[jittered, column]
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.01)
    orders = first.blends @ torch.tensor([16, 4, 1]) * 4 + first.hue_place
    counts = orders.unique(return_counts=True)[1]
    assert len(counts) == 24  # every order of the four operations,
    assert counts.min() > n / 24 * 0.75  # about equally often


def test_views_are_a_function_of_seed_and_step():
    views = views_of(Augment(), 32)
    again = draw_step(views, 7, 5, 16)
    for first, second in zip(draw_step(views, 7, 5, 16), again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for other in (draw_step(views, 8, 5, 16), draw_step(views, 7, 6, 16), again[::-1]):
        assert not torch.equal(other[0].area, again[0].area)


NAMED = {
    "area": dict(crop_scale=(0.5, 1.0)),
    "ratio": dict(crop_ratio=(1.0, 2.0)),
    "flip": dict(flip=0.9),
    "factors": dict(jitter=0.1, brightness=0.1, contrast=0.2, saturation=0.9, hue=0.5),
    "grayscale": dict(grayscale=0.7),
    "sigma": dict(blur=(0.5, 0.5), blur_sigma=(1.0, 3.0)),
    "solarize": dict(solarize=(0.5, 0.5)),
}


@pytest.mark.parametrize("changed", NAMED)
def test_a_setting_changes_no_other_draw(changed):
    """Every drawn quantity is its own stream: what one distortion draws, or whether there is one, is no other's."""
    before = draw_step(views_of(Augment(), 32), 0, 0, 64)
    after = draw_step(views_of(Augment(**NAMED[changed]), 32), 0, 0, 64)
    for one, other in zip(before, after, strict=True):
        differing = {name for name in one._fields if not torch.equal(getattr(one, name), getattr(other, name))}
        assert differing == {changed}


def test_no_two_quantities_share_a_stream():
    """Underlying numbers from 0 to 1: none of the uniform ones of either view is another's."""
    even = dict(crop_scale=(1e-9, 1.0), brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5, jitter=1.0)
    columns = []
    for draws in draw_step(views_of(Augment(**even, blur=(1.0, 1.0), blur_sigma=(1e-9, 1.0)), 32), 0, 0, 64):
        factors = (draws.factors + torch.tensor([0.0, 0.0, 0.0, 1.0])) / 2
        columns += [*draws.area.unbind(1), *draws.place.unbind(1), *factors.unbind(1), draws.sigma]
    apart = torch.stack(columns).corrcoef().abs() - torch.eye(len(columns))
    assert apart.max() < 0.6  # of 64 rows; the same stream would give 1


def test_samples_do_not_influence_each_other():
    """A part of the batch, distorted alone, is that part of the whole: what makes processes agree."""
    views = views_of(Augment(blur=(1.0, 0.5), solarize=(0.2, 0.2)), 40)
    for view, draws in zip(views, draw_step(views, 0, 0, N), strict=True):
        whole = view.distort(FLOAT[..., :40].clone(), draws)
        part = view.distort(FLOAT[2:5, ..., :40].clone(), draws.rows(slice(2, 5)))
        torch.testing.assert_close(whole[2:5], part)


def test_multi_crop():
    views = views_of(Augment(small_crops=4, small_size=96, small_scale=(0.05, 0.2)), 224)
    assert [view.size for view in views] == [224, 224, 96, 96, 96, 96]
    sizes = torch.tensor([[200, 200]]).expand(500, 2)
    draws = draw_step(views, 0, 0, 500)
    area = views[2].boxes(draws[2], sizes)[:, 2:].prod(1) / 40000
    assert 0.04 < area.min() < 0.06
    assert 0.19 < area.max() < 0.21
    assert not torch.equal(draws[2].place, draws[3].place)
