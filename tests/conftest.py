"""What the tests share: a recipe that runs in seconds, and pictures of every kind."""

import io
import os
import shutil
import warnings

os.environ["OMP_NUM_THREADS"] = "1"  # also in the processes that tests start: two of many threads each crawl

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)
hypothesis.settings.register_profile("fast", max_examples=40, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("fast")  # the same examples every time; benchmarks/fuzz.py looks for others
warnings.filterwarnings("ignore", message="CUDA initialization")

TINY = dict(
    data="digits",
    backbone="resnet18",
    backbone_arguments={"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16), "zero_init_last": False},
    limit=256,
    batch_size=64,
    epochs=3,
    precision="fp32",
    flip=0.0,
    projector=(32, 16),
    knn_every=1,
)
"""12 steps on 256 digits of 8 x 8 pixels."""

VIT = dict(backbone="test_vit", backbone_arguments={}, image_size=16)
OWN = {
    "mocov3": dict(predictor=(32, 16)),
    "pirl": dict(image_size=24),
    "swav": dict(queue=64, queue_from=0.5),
    "byol": dict(predictor=(32, 16)),
    "simsiam": dict(predictor=(32, 16)),
    "data2vec": dict(**VIT, projector=None),
    "jigsaw": dict(image_size=24, permutations=8, classifier=(32,)),
    "denoising": dict(projector=None),
    "mae": dict(**VIT, projector=None, decoder_width=32, decoder_depth=1),
    "distill": dict(teacher="tests.networks:teacher", teacher_view="whole"),
    "joint": dict(target="momentum", predictor=(32, 16), memory=32),
}
"""What single methods need beside; None: they have no such setting."""


def tiny(method: str, **settings):
    wanted = {**TINY, **OWN.get(method, {}), "method": method, **settings}
    return {name: value for name, value in wanted.items() if value is not None}


class Unmeasured:
    """What rules ask of the images, where tests have none."""

    interpolation = "bicubic"
    natural_size, channels, depth, grey, mirrored_alike = 8, 3, "uint8", False, True
    statistics = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    precision = "fp32"

    def fits_in_memory(self, batch_size):
        return True

    def stem(self, settings):
        from twofold.nets.backbone import stem_for

        return stem_for(settings["backbone"], settings["image_size"])

    def patch_size(self, settings):
        return 1


def resolved(method, images=256, **settings):
    """The recipe of a run on so many images, nothing left open."""
    from twofold.recipe import recipe
    from twofold.recipe.resolve import resolve

    return resolve(recipe.wanted(method, **settings), images, Unmeasured())[0]


def batch_of(method, settings, views, rows=slice(None)):
    """What the loop would give a method, of given images: float [n, 3, S, S] a view."""
    from twofold.augment.masks import masked
    from twofold.batch import Batch, Chance, View
    from twofold.nets.vit import patch_size

    total, a = len(views[0]), settings.augment
    chance = Chance(settings.seed, 0, total, rows)
    seen = [View(view[rows]) for view in views[: method.VIEWS + method.whole]]
    for number, (view, share) in enumerate(zip(seen, a.mask, strict=False)):
        if share > 0:
            side = view.images.shape[-1] // patch_size(method.backbone)
            seen[number] = masked(view, side, share, a.mask_shape, chance, f"mask {number}")
    return Batch(tuple(seen), torch.arange(total)[rows], chance)


def blobs(n, d=8, classes=4, seed=0, spread=2.0):
    """Gaussian classes that overlap, and their labels; the centres are the same for every seed."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, d, generator=torch.Generator().manual_seed(99)) * 2
    labels = torch.arange(n) % classes
    return centres[labels] + spread * torch.randn(n, d, generator=random), labels


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise, uint8 [H, W, 3]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / random.uniform(3, 9) + random.uniform(0, 6)) * np.cos(y / random.uniform(3, 9)) for _ in "rgb"]
    smooth = 127 + 90 * np.stack(waves, -1) + random.normal(0, 12, (height, width, 3))
    return smooth.clip(0, 255).astype(np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def builds(monkeypatch):
    """The names of the networks that timm is asked to build from now on."""
    import timm

    create, names = timm.create_model, []
    monkeypatch.setattr(
        timm, "create_model", lambda name, *words, **more: names.append(name) or create(name, *words, **more)
    )
    return names


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished tiny SimCLR run."""
    import twofold

    out = tmp_path_factory.mktemp("finished") / "run"
    return twofold.pretrain(out=out, quiet=True, **tiny("simclr", epochs=8))


FLAGS = (
    "--no-sandbox --disable-gpu --disable-3d-apis --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def browser():
    """Chromium from the distribution."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.fail("the page is tested in a browser and there is none: install chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()
