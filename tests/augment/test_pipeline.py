"""What is drawn for a view, against torchvision's draws; purity."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2

from tests.augment.levels import FLOAT, N
from tests.conftest import resolved
from twofold import rng
from twofold.augment import Views
from twofold.augment.pipeline import pipelines
from twofold.recipe.augment import Augment


def test_crops_are_drawn_as_torchvision_draws_them():
    """Area, ratio and place of 4,000 boxes: means and deviations within 4 standard errors of torchvision's."""
    n = 4000
    view = pipelines(Augment(crop_scale=(0.08, 1.0)), 32)[0]
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


def test_a_box_that_cannot_fit_is_the_largest_at_any_place():
    """A central one would be the same part of a long image in all views."""
    view = pipelines(Augment(crop_scale=(0.9, 1.0)), 32)[0]
    sizes = torch.tensor([[10, 100], [100, 10], [1, 1], [10, 90]] * 500)
    draws = view.draw(rng.Streams(0), len(sizes))
    boxes = view.boxes(draws, sizes)
    find = view.finder(draws)
    assert boxes.tolist() == [list(find(row, *size)) for row, size in enumerate(sizes.tolist())]
    for across, along, shape in ((0, 1, [10, 13]), (1, 0, [13, 10])):  # the longer side at most 4/3 of the other
        own = boxes[across::4]
        assert own[:, 2:].unique(dim=0).tolist() == [shape]
        assert own[:, across].unique().tolist() == [0]
        assert own[:, along].min() < 3
        assert own[:, along].max() > 84
        assert own[:, along].float().mean() == pytest.approx(43.5, abs=4)
    assert boxes[2].tolist() == [0, 0, 1, 1]


def test_a_view_of_the_whole_area_is_the_largest_central_box():
    view = pipelines(Augment(crop_scale=(1.0, 1.0)), 32)[0]
    draws = view.draw(rng.Streams(0), 4)
    sizes = [[10, 100], [100, 10], [1, 1], [30, 30]]
    boxes = view.boxes(draws, torch.tensor(sizes)).tolist()
    assert boxes == [list(view.finder(draws)(row, *size)) for row, size in enumerate(sizes)]
    assert boxes[:3] == [[0, 43, 10, 13], [43, 0, 13, 10], [0, 0, 1, 1]]  # width at most 4/3 of the height


def test_parameters_are_drawn_as_said():
    n = 8000
    first, second = Views(32, blur=(1.0, 0.1), solarize=(0.0, 0.2), hue=0.2, brightness=0.4).draw(0, n)

    def share(flags):
        return flags.float().mean().item()

    assert share(first.flip) == pytest.approx(0.5, abs=0.03)
    assert share(first.grayscale) == pytest.approx(0.2, abs=0.02)
    assert not first.turn.any()
    turns = Views(32, turn=0.6).draw(0, n)[1].turn.bincount() / n
    assert turns.tolist() == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=0.02)
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


def test_draws_are_a_function_of_seed_step_and_view():
    views = Views(32, seed=7)
    again = views.draw(5, 16)
    for first, second in zip(views.draw(5, 16), again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first[:-1], second[:-1], strict=True))
    for other in (Views(32, seed=8).draw(5, 16), views.draw(6, 16), again[::-1]):
        assert not torch.equal(other[0].area, again[0].area)


NAMED = {
    "area": dict(crop_scale=(0.5, 1.0)),
    "ratio": dict(crop_ratio=(1.0, 2.0)),
    "flip": dict(flip=0.9),
    "turn": dict(turn=0.9),
    "factors": dict(jitter=0.1, brightness=0.1, contrast=0.2, saturation=0.9, hue=0.5),
    "grayscale": dict(grayscale=0.7),
    "sigma": dict(blur=(0.5, 0.5), blur_sigma=(1.0, 3.0)),
    "solarize": dict(solarize=(0.5, 0.5)),
}


@pytest.mark.parametrize("changed", NAMED)
def test_a_setting_changes_no_other_draw(changed):
    """Every drawn quantity is its own stream: what one distortion draws, or whether there is one, is no other's."""
    before, after = Views(32).draw(0, 64), Views(32, **NAMED[changed]).draw(0, 64)
    for one, other in zip(before, after, strict=True):
        differing = {name for name in one._fields[:-1] if not torch.equal(getattr(one, name), getattr(other, name))}
        assert differing == {changed}


def test_no_two_quantities_share_a_stream():
    """Underlying numbers from 0 to 1: none of the uniform ones of either view is another's."""
    even = dict(crop_scale=(1e-9, 1.0), brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5, jitter=1.0)
    columns = []
    for draws in Views(32, **even, blur=(1.0, 1.0), blur_sigma=(1e-9, 1.0)).draw(0, 64):
        factors = (draws.factors + torch.tensor([0.0, 0.0, 0.0, 1.0])) / 2
        columns += [*draws.area.unbind(1), *draws.place.unbind(1), *factors.unbind(1), draws.sigma]
    apart = torch.stack(columns).corrcoef().abs() - torch.eye(len(columns))
    assert apart.max() < 0.6  # of 64 rows; the same stream would give 1


@pytest.mark.parametrize(
    ("method", "blur", "solarize"),
    [("dino", [1.0, 0.1, 0.5, 0.5], [0.0, 0.2, 0.0, 0.0]), ("swav", [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0])],
)
def test_small_views_have_their_own_chances_as_the_authors_have_them(method, blur, solarize):
    """Of photographs: how many of 4,000 samples of each view are blurred and solarised."""
    n, augment = 4000, resolved(method, image_size=224).augment
    draws = [view.draw(rng.Streams(7, (i,)), n) for i, view in enumerate(pipelines(augment, 224)[:4])]
    assert [(d.sigma > 0).float().mean().item() for d in draws] == pytest.approx(blur, abs=0.03)
    assert [d.solarize.float().mean().item() for d in draws] == pytest.approx(solarize, abs=0.03)


def solarized(images):
    """Numbers from 0 to 1 that are at least 128 of 255 inverted, the others as they are."""
    return torch.where(images >= 128 / 255, 1 - images, images)


def test_small_views_are_solarised_if_that_is_asked_for():
    views = Views(224, small_crops=1, small_solarize=1.0, blur=(1.0, 1.0), jitter=0.0, grayscale=0.0)
    first, _, small = views.draw(0, N)
    assert [first.solarize.any().item(), small.solarize.all().item(), small.sigma.any().item()] == [False, True, False]
    crops = FLOAT[..., :96].clone()
    torch.testing.assert_close(views.pipelines[2].distort(crops.clone(), small), solarized(crops))


def test_samples_do_not_influence_each_other():
    """A part of the batch, distorted alone, is that part of the whole: what makes processes agree."""
    views = Views(40, blur=(1.0, 0.5), solarize=(0.2, 0.2))
    for view, draws in zip(views.pipelines, views.draw(0, N), strict=True):
        whole = view.distort(FLOAT[..., :40].clone(), draws)
        part = view.distort(FLOAT[2:5, ..., :40].clone(), draws.rows(slice(2, 5)))
        torch.testing.assert_close(whole[2:5], part)


def test_multi_crop():
    views = Views(224, small_crops=4, small_scale=(0.05, 0.2))
    assert [view.size for view in views.pipelines] == [224, 224, 96, 96, 96, 96]
    sizes = torch.tensor([[200, 200]]).expand(500, 2)
    draws = views.draw(0, 500)
    area = views.pipelines[2].boxes(draws[2], sizes)[:, 2:].prod(1) / 40000
    assert 0.04 < area.min() < 0.06
    assert 0.19 < area.max() < 0.21
    assert not torch.equal(draws[2].place, draws[3].place)


def test_a_box_found_alone_is_that_of_the_batch():
    """Also in images so narrow that no drawn box fits, and in the smallest."""
    random = torch.Generator().manual_seed(0)
    sizes = torch.cat(
        [torch.randint(1, 900, (300, 2), generator=random), torch.randint(1, 12, (300, 2), generator=random)]
    )
    sizes = torch.cat([sizes, torch.tensor([[1, 1], [1, 900], [900, 1], [2, 3]])])
    for scale in ((0.08, 1.0), (1.0, 1.0), (0.001, 0.01)):
        views = Views(32, crop_scale=scale)
        view, draws = views.pipelines[0], views.draw(0, len(sizes))[0]
        find = view.finder(draws)
        alone = [find(row, *size) for row, size in enumerate(sizes.tolist())]
        assert alone == [tuple(box) for box in view.boxes(draws, sizes).tolist()]


SIDES = st.integers(1, 5000)


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=8), st.integers(0, 2**40), st.data())
def test_a_box_lies_inside_its_image(sizes, seed, data):
    """Of images of any sides, with any shares and ratios that may be asked for."""
    shares = tuple(sorted(data.draw(st.tuples(*[st.floats(1e-4, 1)] * 2))))
    ratios = tuple(sorted(data.draw(st.tuples(*[st.floats(0.01, 100)] * 2))))
    view = pipelines(Augment(crop_scale=shares, crop_ratio=ratios), 32)[0]
    sides = torch.tensor(sizes)
    draws = view.draw(rng.Streams(seed), len(sizes))
    for place in (draws.place, torch.zeros_like(draws.place), torch.full_like(draws.place, 1 - 2**-24)):
        boxes = view.boxes(draws._replace(place=place), sides)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] >= 1).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= sides).all()
