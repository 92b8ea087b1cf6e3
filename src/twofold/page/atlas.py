"""What the page shows of the images: the map, every image's neighbours, clusters, thumbnails."""

import colorsys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from twofold import rng
from twofold.data.plan import sample
from twofold.data.sources import Source
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import Encode, Features, extract
from twofold.encoding.progress import Tell
from twofold.evaluation.clusters import kmeans
from twofold.page import layout
from twofold.page.bands import PICTURE, Look
from twofold.page.render import packed
from twofold.page.thumbs import ACROSS, sheets, shrink, side_for

NEAREST = 8
"""How many neighbours of each image are found."""
EXAMPLES = 8
"""How many images of a cluster are shown."""
QUERIES = 8
"""How many images and their neighbours the gallery has, each in a row."""
CLUSTERS = 10
"""How many clusters there are where there are no classes."""
MOST_CLUSTERS = 100
COSINE = 32767
"""What a cosine of 1 is as a 16-bit number."""
COLOURS = "#2f7ed8 #d9730d #2a9d57 #d6404a #8a63d2 #1697a6 #d14d94 #8a8b1c #a0673a #7d8590".split()
"""Colours that can be told apart on white and on black."""


@dataclass(frozen=True)
class Cluster:
    """Number from 0, the largest first; the images nearest to its centre; the commonest label and its share."""

    number: int
    size: int
    colour: str
    examples: list[int]
    label: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Atlas:
    """``data`` is for the page's script; images are numbered as there."""

    data: dict[str, Any]
    sheets: list[str]
    clusters: list[Cluster]
    gallery: list[list[int]]
    shown: int
    of: int
    """images that there are"""


def make_atlas(source: Source, size: int, encoder: Encoder, points: int, tell: Tell, look: Look = PICTURE) -> Atlas:
    """All that can be shown of at most ``points`` images, each decoded once, as ``look`` has them.

    Raises:
        UsageError: if not one of them can be read.
    """
    chosen = sample(source, points) if len(source) > points else source
    side = side_for(len(chosen), size)
    encoders: dict[str, Encode] = {"features": encoder, "thumbs": lambda images: shrink(look(images), side)}
    found = extract(chosen, size, encoders, tell, "features and thumbnails", encoder.spec.interpolation)
    features = found["features"]
    unit = F.normalize(features.values)
    tell("nearest neighbours", 0, 1)
    near, cosine = layout.nearest_neighbours(unit.to(encoder.device), NEAREST)
    tell("map", 0, 1)
    places = layout.flat(unit)
    tell("clusters", 0, 1)
    labels = names_of(chosen, features)
    assigned = assign(unit, cluster_count(len(unit), labels))
    clusters = describe(unit, assigned, labels)
    titles = [f"cluster {c.number + 1}" for c in clusters]
    groups = [group("clusters", titles, assigned)]
    if labels is not None:
        classes = list(dict.fromkeys(chosen.classes or [])) or sorted(set(labels), key=natural)
        seen = set(labels)
        present = [name for name in classes if name in seen]
        position = {name: i for i, name in enumerate(present)}
        groups.insert(0, group("labels", present, torch.tensor([position[name] for name in labels])))
    tell("thumbnails", 0, 1)
    data = {
        "side": side,
        "across": ACROSS,
        "names": [chosen.name(i) for i in features.index],
        "x": packed(places[:, 0].numpy()),
        "y": packed(places[:, 1].numpy()),
        "groups": groups,
        "count": near.shape[1],
        "near": packed(near.flatten().numpy().astype(np.uint32)),
        "cosine": packed((cosine.flatten() * COSINE).round().numpy().astype(np.int16)),
    }
    rows = gallery(near, assigned if labels is None else labels)
    return Atlas(data, sheets(found["thumbs"].values), clusters, rows, len(unit), len(source))


def names_of(source: Source, features: Features) -> list[str] | None:
    """Each image's label in words; None where there are none."""
    if source.labels is None:
        return None
    return [source.classes[n] if source.classes else str(n) for n in features.labels.tolist()]


def natural(name: str) -> tuple[int, str]:
    """To sort by: numerals as numbers."""
    return (int(name), "") if name.isdecimal() else (0, name)


def group(title: str, names: list[str], member: Tensor) -> dict[str, Any]:
    """One way to colour the map: the groups' names and colours, and the number of each image's group."""
    return {"title": title, "names": names, "colours": colours(len(names)), "of": packed(member.numpy().astype("u2"))}


def colours(count: int) -> list[str]:
    """Hexadecimal colours of middling lightness; more than ten go round the circle by the golden angle."""
    more = [colorsys.hls_to_rgb((i * 0.381966) % 1, 0.42 + 0.16 * (i % 2), 0.55) for i in range(len(COLOURS), count)]
    return (COLOURS + ["#" + "".join(f"{round(255 * v):02x}" for v in colour) for colour in more])[:count]


def cluster_count(images: int, labels: list[str] | None) -> int:
    """As many clusters as classes, of which there must be two; else ten; never more than images."""
    classes = len(set(labels or []))
    return min(classes if classes > 1 else CLUSTERS, MOST_CLUSTERS, images)


def assign(unit: Float[Tensor, "n d"], count: int) -> Int[Tensor, " n"]:
    """Each image's cluster, the largest cluster first; clusters that remain empty have no number."""
    member = kmeans(unit, count, 0)
    sizes = member.bincount(minlength=count)
    return sizes.argsort(descending=True, stable=True).argsort()[member]


def describe(unit: Float[Tensor, "n d"], member: Int[Tensor, " n"], labels: list[str] | None) -> list[Cluster]:
    found = []
    palette = colours(int(member.max()) + 1)
    for number, colour in enumerate(palette):
        inside = (member == number).nonzero()[:, 0]
        centre = F.normalize(unit[inside].mean(0), dim=0)
        closest = inside[(unit[inside] @ centre).argsort(descending=True, stable=True)[:EXAMPLES]].tolist()
        cluster = Cluster(number, len(inside), colour, closest)
        if labels is not None:
            label, count = Counter(labels[i] for i in inside.tolist()).most_common(1)[0]
            cluster = Cluster(number, len(inside), colour, closest, label, count / len(inside))
        found.append(cluster)
    return found


def gallery(near: Int[Tensor, "n k"], groups: list[str] | Tensor) -> list[list[int]]:
    """Rows of an image and its neighbours, from different groups as far as there are so many."""
    order = torch.randperm(len(near), generator=rng.generator(0, "gallery")).tolist()
    seen = Counter[str]()
    rank = {}
    for image in order:
        name = str(groups[image] if isinstance(groups, list) else int(groups[image]))
        rank[image] = seen[name]
        seen[name] += 1
    chosen = sorted(order, key=lambda image: rank[image])[:QUERIES]
    return [[image, *near[image].tolist()] for image in chosen]
