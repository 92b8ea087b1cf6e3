"""What the tests share: a recipe that runs in seconds, and pictures of every kind."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message="CUDA initialization")

TINY = dict(
    data="digits",
    backbone="resnet18",
    backbone_arguments={"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16), "zero_init_last": False},
    limit=256,
    batch=64,
    epochs=3,
    precision="fp32",
    flip=0.0,
    projector=(32, 16),
    knn_every=1,
)
"""12 steps on 256 digits of 8 x 8 pixels."""

OWN = {"byol": {"predictor": (32, 16)}}
"""What single methods need beside."""


def tiny(method: str, **settings):
    return {**TINY, **OWN.get(method, {}), "method": method, **settings}


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


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished tiny SimCLR run."""
    import twofold

    out = tmp_path_factory.mktemp("finished") / "run"
    return twofold.pretrain(out=out, quiet=True, **tiny("simclr", epochs=8))
