"""The report's pictures, as data URIs: views as the network sees them, and nearest neighbours."""

import base64
import io

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from twofold.augment import draw_step, views_of
from twofold.data.loader import crop_one, next_readable, sample
from twofold.data.sources import Source
from twofold.evaluation.features import Encoder, central_crop, central_crops
from twofold.recipe import Recipe

SHOWN = 96  # pixels: smaller pictures are enlarged to about this, without smoothing
SEARCHED = 2000  # images among which neighbours are looked for


def png(image: Tensor) -> str:
    """A data URI of an image, uint8 [3, H, W]."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    factor = max(1, SHOWN // picture.width)
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def view_rows(source: Source, settings: Recipe, images: int = 6, steps: int = 3) -> list[list[str]]:
    """For some images: the image itself, then its views in the first few steps, were it in them."""
    views = views_of(settings.augment, settings.size)
    chosen = sample(source, images)
    rows = []
    for row in range(len(chosen)):
        found = next_readable(chosen, row, [])
        if found is None:
            continue
        image = found[1]
        pictures = [png(central_crop(image, settings.size))]
        for step in range(steps):
            for view, draws in zip(views, draw_step(views, settings.seed, step, len(chosen)), strict=True):
                one = draws.rows(row)
                box = view.boxes(one, torch.tensor([image.shape[1:]]))[0]
                crop = crop_one(image, box.tolist(), bool(one.flip), view.size, settings.augment.interpolation)
                distorted = view.distort(crop[None] / 255, one)[0]
                pictures.append(png((distorted * 255).round().byte()))
        rows.append(pictures)
    return rows


def neighbour_rows(source: Source, size: int, encoder: Encoder, queries: int = 8, shown: int = 8) -> list[list[str]]:
    """For some images: the image, then those whose features have the largest cosine with its own."""
    images = torch.cat([batch for _, batch in central_crops(sample(source, SEARCHED), size)])
    features = F.normalize(torch.cat([encoder(batch) for batch in images.split(256)]))
    asking = torch.arange(len(images))[:queries]
    similarity = features[asking] @ features.T
    similarity[torch.arange(len(asking)), asking] = 2.0  # the image itself comes first
    nearest = similarity.topk(min(shown + 1, len(images))).indices
    return [[png(images[number]) for number in row] for row in nearest.tolist()]
