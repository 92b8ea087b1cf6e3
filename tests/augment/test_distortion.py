"""Own distortions: what they draw, what they get, and that they go everywhere a run goes."""

import sys

import pytest
import torch

import twofold
from tests.augment.levels import IMAGES, N
from tests.conftest import tiny
from tests.killing import KILLED, at_call, in_a_child
from twofold.augment import Distortion, Views, distortion
from twofold.cli.words import recipe_of
from twofold.data.opening import open_data
from twofold.diagnosis.views import distorted
from twofold.errors import UsageError
from twofold.page.pictures import views_of_images
from twofold.recipe import recipe
from twofold.storage import files, metrics

PLAIN = dict(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, jitter=0.0, grayscale=0.0)
MODULE = '''
import torch
import twofold


class Speckle(twofold.Distortion):
    """Every value times 1 plus noise, of each image its own strength."""

    def __init__(self, most=0.5):
        self.most = most

    def draw(self, n, random):
        return {"strength": random.uniform("strength", n, 0.0, self.most), "seed": random.integers("seed", n, 2**31)}

    def apply(self, images, drawn):
        generators = (torch.Generator().manual_seed(seed) for seed in drawn["seed"].tolist())
        noise = torch.stack([torch.randn(images.shape[1:], generator=generator) for generator in generators])
        return images * (1 + drawn["strength"][:, None, None, None] * noise)


class Black(twofold.Distortion):
    def apply(self, images, drawn):
        return images * 0


class Needy(twofold.Distortion):
    def __init__(self, strength):
        pass

    def apply(self, images, drawn):
        return images


strong = Speckle(2.0)
number = 3
'''


@pytest.fixture(scope="module", autouse=True)
def own_noise(tmp_path_factory):
    """A module of somebody's own, importable."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_noise.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("own_noise", None)


class Gamma(Distortion):
    def draw(self, n, random):
        return random.uniform("power", n, 0.5, 2.0)

    def apply(self, images, power):
        return images ** power[:, None, None, None]


class Scaled(Distortion):
    """Only the second view, and beyond the range."""

    views = (1,)

    def draw(self, n, random):
        return {"factor": random.uniform("factor", (n, 3), 2.0, 3.0)}

    def apply(self, images, drawn):
        return images.double() * drawn["factor"][:, :, None, None]


def images_of(views, **more):
    return [view.images for view in views(IMAGES, **more).views]


def test_it_is_applied_last_with_its_own_rows():
    views = Views(40, mean=[0.0] * 3, std=[1.0] * 3, distortions=[Gamma(), Scaled()], **PLAIN)
    plain = images_of(Views(40, mean=[0.0] * 3, std=[1.0] * 3, **PLAIN))
    first, second = views.draw(0, N)
    given = images_of(views, step=0)
    powers = [drawn.own[0][:, None, None, None] for drawn in (first, second)]
    torch.testing.assert_close(given[0], plain[0] ** powers[0])
    scaled = plain[1] ** powers[1] * second.own[1]["factor"][:, :, None, None]
    torch.testing.assert_close(given[1], scaled.clamp(0, 1))
    assert len(first.own) == 1
    assert not torch.equal(powers[0], powers[1])


def test_adding_removing_and_reordering_changes_no_other_draw():
    def drawn(*distortions):
        """Of the second view, by name."""
        views = Views(32, distortions=distortions)
        draws, own = views.draw(0, N)[1], views.pipelines[1].own
        by_name = {(one.name, one.number): value for one, value in zip(own, draws.own, strict=True)}
        return {**dict(zip(draws._fields[:-1], draws[:-1], strict=True)), **by_name}

    every = drawn(Gamma(), Scaled(), Gamma())
    assert not torch.equal(every["Gamma", 0], every["Gamma", 1])
    for fewer in (drawn(), drawn(Gamma()), drawn(Scaled()), drawn(Scaled(), Gamma())):
        for name, value in fewer.items():
            expected = every[name]
            same = value.equal(expected) if torch.is_tensor(value) else value["factor"].equal(expected["factor"])
            assert same, name


def test_processes_distort_alike(monkeypatch):
    views = Views(32, distortions=["own_noise:Speckle", Scaled()])
    whole = images_of(views)
    for rank, part in enumerate(IMAGES.chunk(2)):
        monkeypatch.setattr("twofold.dist.world", lambda: 2)
        monkeypatch.setattr("twofold.dist.rank", lambda rank=rank: rank)
        mine = [view.images for view in views(part, step=0).views]
        for images, expected in zip(mine, whole, strict=True):
            torch.testing.assert_close(images, expected[rank * 4 : rank * 4 + 4])


def test_a_class_and_an_instance_are_found_by_name():
    speckle, strong = distortion.named(["own_noise:Speckle", "own_noise:strong"])
    assert (speckle.distortion.most, strong.distortion.most) == (0.5, 2.0)
    assert (speckle.number, strong.number) == (0, 1)


class Short(Distortion):
    def draw(self, n, random):
        return random.uniform("x", n - 1)

    def apply(self, images, drawn):
        return images


class Cropped(Distortion):
    def apply(self, images, drawn):
        return images[..., 1:]


class Third(Gamma):
    views = (2,)


class Off(Gamma):
    views = ()


def test_a_distortion_of_no_view_is_off():
    for off, plain in zip(images_of(Views(40, distortions=[Off()])), images_of(Views(40)), strict=True):
        assert torch.equal(off, plain)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["own_noise:Speckel"], "did you mean Speckle"),
        (["own_noise:number"], "own_noise:number is no distortion: it must be derived from twofold.Distortion"),
        (["own_noise:Needy"], "own_noise:Needy cannot be made without arguments"),
        (["speckle"], "'speckle' does not name a distortion"),
        ("own_noise:Speckle", "distortions must be a list"),
        ([Short()], "Short.draw must give a tensor with a row for each"),
        ([Cropped()], r"Cropped.apply must give images of the shape \[8, 3, 32, 32\], not \[8, 3, 32, 31\]"),
        ([Third()], r"Third would be applied to no view: its views are \[2\], the views have the numbers 0 to 1"),
    ],
)
def test_what_is_no_distortion_is_said(given, words):
    with pytest.raises(UsageError, match=words) as error:
        images_of(Views(32, distortions=given))
    assert "\n" not in str(error.value)


def test_a_run_has_it_after_a_kill_on_the_page_and_for_the_doctor(tmp_path):
    wanted = tiny("simclr", distortions=("own_noise:Speckle",), save_every=1, knn_every=0, limit=128, epochs=2)
    straight = twofold.pretrain(out=tmp_path / "straight", quiet=True, **wanted)
    words = ["digits", "--distortions", "own_noise:Speckle"]
    assert recipe_of(words, "").given["distortions"] == wanted["distortions"]
    assert straight.recipe.augment.distortions == ("own_noise:Speckle",)

    def killed():
        at_call(metrics.Metrics, "write", 3)
        twofold.pretrain(out=tmp_path / "killed", quiet=True, **wanted)

    assert in_a_child(killed) == KILLED
    twofold.pretrain(out=tmp_path / "killed", quiet=True, **wanted)
    one, other = (files.load(tmp_path / name / "checkpoint.pt")["method"] for name in ("straight", "killed"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    without = {**wanted, "distortions": ()}
    with pytest.raises(UsageError, match="distortions: own_noise:Speckle -> "):
        twofold.pretrain(out=tmp_path / "straight", quiet=True, **without)

    source = open_data("digits").limited(8).train
    black = recipe.replace(straight.recipe, distortions=("own_noise:Black",))
    assert all(views.eq(0).all() for _, views in distorted(source, 8, black.augment, black.seed, black.std))
    rows = views_of_images(source, black, straight.spec, straight.backbone(), images=2, steps=1)
    uris = {picture.uri for row in rows for step in row.steps for picture in step}
    assert len(uris) == 1  # all views are black


def test_a_run_without_it_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="cannot be imported"):
        twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("simclr", distortions=("not_there:Speckle",)))
    assert not (tmp_path / "run").exists()
