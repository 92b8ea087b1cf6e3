"""How one view is made: what is drawn for each sample, and how a batch is cropped and distorted by it.

Drawing is separate from applying. Everything random about a step is drawn on the CPU, for the global
batch, as a few numbers a sample; each process then takes its rows. The drawn crops do not depend on the
image's size, so a worker that decodes a photograph uses the same ones.
"""

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from twofold import device as devices
from twofold import rng
from twofold.augment.color import band_jitter, color_jitter, solarize, to_grayscale
from twofold.augment.distortion import Drawn, Named, each
from twofold.augment.resample import gaussian_blur, quarter_turns
from twofold.errors import UsageError
from twofold.recipe.augment import Augment
from twofold.recipe.rules import FLIP

NEUTRAL = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float32)  # factors that change nothing
TRIES = 10  # boxes tried until one fits into the image, as torchvision does


Box = tuple[int, int, int, int]
"""A part of an image: top, left, height, width in pixels."""


class Draws(NamedTuple):
    """What was drawn for each of n samples of one view."""

    area: Float[Tensor, "n tries"]  # share of the image
    ratio: Float[Tensor, "n tries"]  # width over height
    place: Float[Tensor, "n 2"]  # of the box, top and left, from 0 to 1
    flip: Tensor  # bool [n]
    turn: Int[Tensor, " n"]  # quarter turns, 0 to 3
    factors: Float[Tensor, "n 4"]  # brightness, contrast, saturation, hue; neutral where there is no jitter
    blends: Int[Tensor, "n 3"]  # the order of the first three
    hue_place: Int[Tensor, " n"]  # how many of them come before the hue
    grayscale: Tensor  # bool [n]
    sigma: Float[Tensor, " n"]  # of the blur; 0 where there is none
    solarize: Tensor  # bool [n]
    gain: Float[Tensor, "n bands"]  # of each channel, where channels are no colours; neutral where there is no jitter
    offset: Float[Tensor, "n bands"]
    own: tuple[Drawn, ...] = ()  # of each own distortion

    def rows(self, rows: slice | int) -> "Draws":
        chosen = slice(rows, rows + 1) if isinstance(rows, int) else rows
        own = tuple(each(drawn, lambda part: part[chosen]) for drawn in self.own)
        return Draws._make([*(value[chosen] for value in self[:-1]), own])


class Sent(NamedTuple):
    """Draws on the device that uses them, and what they imply, which only the CPU knows without waiting for it.

    ``blurred``: the numbers of the samples with a blur. ``by_hue``: of all samples, in the order of ``hue_place``;
    ``ends``: how many have their hue at place 0, at 0 or 1, and so on.
    """

    draws: Draws
    blurred: Int[Tensor, " blurred"]
    by_hue: Int[Tensor, " n"]
    ends: tuple[int, ...]


def sent(several: Sequence[Draws], device: torch.device) -> list[Sent]:
    """The draws of all views of a batch on a device, in one copy."""
    found = []
    for draws in several:
        ends = draws.hue_place.bincount(minlength=4).cumsum(0).tolist()
        found.append(Sent(draws, (draws.sigma > 0).nonzero()[:, 0], draws.hue_place.argsort(stable=True), tuple(ends)))
    leaves, shape = tree_flatten(found)
    on_device = iter(devices.send([leaf for leaf in leaves if isinstance(leaf, Tensor)], device))
    result: list[Sent] = tree_unflatten(
        [next(on_device) if isinstance(leaf, Tensor) else leaf for leaf in leaves], shape
    )
    return result


def together(several: Sequence[Draws]) -> Draws:
    """The draws of several views that have no own distortions, one after the other."""
    if len(several) == 1:
        return several[0]
    return Draws._make([*map(torch.cat, list(zip(*several, strict=True))[:-1]), ()])


@dataclass(frozen=True)
class ViewPipeline:
    """One view of each image: cropped, mirrored, turned, distorted.

    ``size``: of its side, in pixels. ``scale``: lowest and highest share of the image's area that it covers. ``blur``
    and ``solarize``: their probabilities. ``mask``: share of its patches. ``augment``: what all views have in common.
    ``own``: distortions after all others. ``spread``: the standard deviation of each channel, where channels are bands
    of measurements, of any range, instead of colours; their jitter is a gain, of 1 +- ``contrast``, and an offset, of
    +- ``brightness`` standard deviations, drawn for each channel. Empty: they are colours, 0 to 1.
    """

    size: int
    scale: tuple[float, float]
    blur: float
    solarize: float
    mask: float
    augment: Augment
    own: tuple[Named, ...] = ()
    spread: tuple[float, ...] = ()

    @property
    def covers_all(self) -> bool:
        """Whether a view is to have the whole area of its image."""
        return self.scale == (1.0, 1.0)

    def draw(self, random: rng.Streams, n: int) -> Draws:
        """Draw the parameters of ``n`` samples, each quantity from its own stream: a change of one changes no other."""
        a = self.augment
        log_low, log_high = torch.tensor(a.crop_ratio, dtype=torch.float32).log().tolist()
        jittered = random.chance("jitter", n, a.jitter)
        factors = [
            random.uniform(name, n, neutral - min(reach, 1.0), neutral + reach)  # no factor is negative
            for name, neutral, reach in (
                ("brightness", 1.0, a.brightness),
                ("contrast", 1.0, a.contrast),
                ("saturation", 1.0, a.saturation),
                ("hue", 0.0, a.hue),
            )
        ]
        blurred = random.chance("blur", n, self.blur)
        bands, width = (n, len(self.spread)), torch.tensor(self.spread, dtype=torch.float32)
        gain = random.uniform("gain", bands, 1 - min(a.contrast, 1.0), 1 + a.contrast)
        offset = random.uniform("offset", bands, -a.brightness, a.brightness) * width
        return Draws(
            area=random.uniform("area", (n, TRIES), *self.scale),
            ratio=torch.from_numpy(np.exp(random.uniform("ratio", (n, TRIES), log_low, log_high).numpy())),
            place=random.uniform("place", (n, 2)),
            flip=random.chance("flip", n, a.flip),
            turn=torch.where(random.chance("turn", n, a.turn), 1 + random.integers("quarters", n, 3), 0),
            factors=torch.where(jittered[:, None], torch.stack(factors, 1), NEUTRAL),
            blends=random.uniform("blends", (n, 3)).argsort(1),
            hue_place=random.integers("hue_place", n, 4),
            grayscale=random.chance("grayscale", n, a.grayscale),
            sigma=torch.where(blurred, random.uniform("sigma", n, *a.blur_sigma), 0.0),
            solarize=random.chance("solarize", n, self.solarize),
            gain=torch.where(jittered[:, None], gain, 1.0),
            offset=torch.where(jittered[:, None], offset, 0.0),
            own=tuple(distortion.draw(n, random) for distortion in self.own),
        )

    def boxes(self, draws: Draws, sizes: Int[Tensor, "n 2"]) -> Int[Tensor, "n 4"]:
        """Crops (top, left, height, width) in images of ``sizes`` (height, width), as torchvision finds them.

        The first drawn area and ratio that fit are taken; if none does, the largest box of a permitted ratio. That box
        has a drawn place where torchvision's is central: in images that are many times as long as wide no area may fit,
        and all views would be the same part of them. It is central where views are to cover the whole area.
        It is NumPy's arithmetic, since torch shares out roots of a few thousand numbers among threads, which may take a
        hundred times as long as the roots.
        """
        rows, shares, ratios = np.arange(len(sizes)), draws.area.numpy().astype(np.float64), draws.ratio.numpy()
        height, width = sizes.numpy().astype(np.float64).T
        area = shares * (height * width)[:, None]
        w, h = np.sqrt(area * ratios).round(), np.sqrt(area / ratios).round()
        fits = (w > 0) & (w <= width[:, None]) & (h > 0) & (h <= height[:, None])
        found, first = fits.any(1), fits.argmax(1)
        narrowest, widest = self.augment.crop_ratio
        w = np.where(found, w[rows, first], np.minimum(width, (height * widest).round())).clip(1)
        h = np.where(found, h[rows, first], np.minimum(height, (width / narrowest).round())).clip(1)
        place_top, place_left = draws.place.numpy().astype(np.float64).T
        central = ~found & self.covers_all
        top = np.where(central, (height - h) / 2, place_top * (height - h + 1))
        left = np.where(central, (width - w) / 2, place_left * (width - w + 1))
        return torch.from_numpy(np.floor(np.stack([top, left, h, w], 1)).astype(np.int64))

    def finder(self, draws: Draws) -> Callable[[int, int, int], Box]:
        """A function of a row, and of the height and width of its image, that gives the box that `boxes` finds for it.

        It serves whoever learns the images' sizes one at a time: it is the same arithmetic without tensors, of which
        each operation would cost more than a whole box does.
        """
        areas, ratios, places = draws.area.tolist(), draws.ratio.tolist(), draws.place.tolist()
        narrowest, widest = self.augment.crop_ratio

        def find(row: int, height: int, width: int) -> Box:
            for share, ratio in zip(areas[row], ratios[row]):
                area = share * (height * width)
                w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if 0 < w <= width and 0 < h <= height:
                    break
            else:
                w, h = max(1, min(width, round(height * widest))), max(1, min(height, round(width / narrowest)))
                if self.covers_all:
                    return (height - h) // 2, (width - w) // 2, h, w
            top, left = places[row]
            return int(top * (height - h + 1)), int(left * (width - w + 1)), h, w

        return find

    def distort(self, crops: Float[Tensor, "n c h w"], draws: Draws) -> Float[Tensor, "n c h w"]:
        """Quarter turns, jitter, greyscale, blur, solarise, own distortions, in that order.

        ``crops`` are cropped and flipped, of colours 0 to 1, and may be overwritten. ``draws`` lie on the CPU.
        """
        return self.apply(crops, sent([draws], crops.device)[0])

    def apply(self, crops: Float[Tensor, "n c h w"], drawn: Sent) -> Float[Tensor, "n c h w"]:
        """`distort` with draws that are on the images' device."""
        a, draws = self.augment, drawn.draws
        if a.turn > 0:
            crops = quarter_turns(crops, draws.turn)
        if a.jitter > 0 and self.spread:
            crops = band_jitter(crops, draws.gain, draws.offset)
        elif a.jitter > 0:
            crops = color_jitter(crops, draws.factors, draws.blends, drawn.by_hue, drawn.ends)
        if a.grayscale > 0:
            crops = to_grayscale(crops, draws.grayscale)
        if self.blur > 0 and len(drawn.blurred):
            chosen = drawn.blurred
            crops[chosen] = gaussian_blur(crops[chosen], draws.sigma[chosen], blur_window(self.size))
        if self.solarize > 0:
            crops = solarize(crops, draws.solarize)
        for distortion, own in zip(self.own, draws.own, strict=True):
            crops = distortion.apply(crops, own)
            crops = crops if self.spread else crops.clamp(0, 1)
        return crops


def blur_window(size: int) -> int:
    """SimCLR's window, a tenth of the image, made odd: 23 pixels at 224, 3 at 32."""
    return min(max(3, int(0.1 * size) | 1), 2 * size - 1)  # a mirrored border is no wider than the image


def pipelines(
    augment: Augment,
    size: int,
    views: int = 2,
    own: tuple[Named, ...] = (),
    std: Sequence[float] = (),
    whole: bool = False,
) -> tuple[ViewPipeline, ...]:
    """The views of each image: ``views`` of full size, then the small ones of multi-crop, which are never masked.

    ``whole`` adds a last one of full size that is always the same: the largest central square, in its own colours.
    Of a pair of probabilities the first is the first view's and the second that of all others. ``std``: of each
    channel, needed where ``augment.colours`` is none.

    Raises:
        UsageError: if a distortion would be applied to none of the views.
    """
    count = views + augment.small_crops
    for one in own:
        chosen = one.distortion.views
        if chosen and not set(chosen) & set(range(count)):
            there = "the only view is number 0" if count == 1 else f"the views have the numbers 0 to {count - 1}"
            raise UsageError(f"{one.name} would be applied to no view: its views are {list(chosen)}, {there}")
    spread = tuple(std) if augment.colours == "none" else ()
    flip = FLIP if augment.flip is None else augment.flip
    a = dataclasses.replace(augment, interpolation=augment.interpolation or "bicubic", flip=flip)
    found = []
    scales = (a.crop_scale, a.second_scale or a.crop_scale)
    for number in range(count):
        mine = tuple(one for one in own if one.distortion.views is None or number in one.distortion.views)
        pair = min(number, 1)
        if number < views:
            found.append(
                ViewPipeline(size, scales[pair], a.blur[pair], a.solarize[pair], a.mask[pair], a, mine, spread)
            )
        else:
            found.append(
                ViewPipeline(a.small_size, a.small_scale, a.small_blur, a.small_solarize, 0.0, a, mine, spread)
            )
    if whole:
        plain = dataclasses.replace(a, crop_ratio=(1.0, 1.0), flip=0.0, turn=0.0, jitter=0.0, grayscale=0.0)
        found.append(ViewPipeline(size, (1.0, 1.0), 0.0, 0.0, 0.0, plain, (), spread))
    return tuple(found)


def alike(views: Sequence[ViewPipeline], stacked: bool) -> list[tuple[list[int], ViewPipeline]]:
    """The numbers of the views that are distorted together, and how; without ``stacked`` each alone.

    After their crops, views of one size and the same settings differ only in what is drawn, so one stack of them comes
    to the same. It pays where to begin an operation takes longer than the operation, as on a GPU. A view with
    distortions of somebody else's stays alone.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, view in enumerate(views):
        alone = number if view.own or not stacked else None
        groups.setdefault((view.size, view.augment, view.spread, alone), []).append(number)
    found = []
    for group in groups.values():
        members = [views[number] for number in group]
        blur, solarize = max(view.blur for view in members), max(view.solarize for view in members)
        found.append((group, dataclasses.replace(members[0], blur=blur, solarize=solarize)))
    return found
