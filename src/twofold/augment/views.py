"""Views of images for any training loop: cropped, distorted, normalised and masked on the images' own device."""

import dataclasses
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from twofold import device, dist
from twofold.augment.distortion import Distortion, named
from twofold.augment.masks import fill_grid, filled, masked
from twofold.augment.pipeline import Draws, ViewPipeline, alike, pipelines, sent, together
from twofold.augment.resample import resized_crop
from twofold.batch import Batch, Chance, View
from twofold.errors import UsageError, did_you_mean
from twofold.nets.normalize import Normalize
from twofold.recipe.augment import Augment
from twofold.recipe.images import without_colours
from twofold.recipe.rules import FLIP, small_view
from twofold.recipe.settings import convert, declarations, types_of
from twofold.rng import Streams

Images = Tensor | np.ndarray | Sequence[Tensor | np.ndarray]
"""[n, C, H, W], or n images [C, H, W] of several sizes; uint8, uint16, or float."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Views(nn.Module):
    """Distorted views of a batch of images, for a method in any training loop::

        views = twofold.Views(size=32, blur=(0.5, 0.0))
        for step, images in enumerate(loader):
            output = method(views(images), progress=step / steps)

    Everything random is a function of the seed, the number of the step and the name of what is drawn. Where there are
    several processes, all with equally many images, it is drawn for the images of all, and each process takes its
    rows: the images are distorted as one process would. The number of the next step is all that ``state_dict`` holds,
    so that a loop that is resumed goes on with the draws that it would have had.
    """

    def __init__(
        self,
        size: int = 224,
        *,
        views: int = 2,
        whole: bool = False,
        seed: SupportsIndex = 0,
        mean: Sequence[float] | np.ndarray = IMAGENET_MEAN,
        std: Sequence[float] | np.ndarray = IMAGENET_STD,
        patch_size: int | None = None,
        dtype: torch.dtype = torch.float32,
        distortions: Sequence[Distortion | type[Distortion] | str] = (),
        **settings: Any,
    ) -> None:
        """
        Args:
            size: the side of a view in pixels, at least 1.
            views: how many views of that size each image gets, at least 1; ``small_crops`` adds small ones.
            whole: whether the largest central square of each image is added as the last view, without distortions.
            seed: the number that decides, with that of the step, everything that is drawn.
            mean: the mean of each channel, subtracted from images in 0 to 1, or from floats as they are where channels
                are no colours. It has as many values as images have channels.
            std: the standard deviation of each channel, above 0, which images are divided by.
            patch_size: the side in pixels of the patches of a vision transformer, which leaves out masked ones.
            dtype: the type of the views' numbers; what leads to them is computed in float32.
            distortions: your own distortions, applied after all others: each a `twofold.Distortion` or the name of
                one, ``package.module:name``.
            **settings: any of `twofold.recipe.augment.Augment`, such as ``crop_scale``, ``flip``, ``jitter``, ``blur``,
                ``small_crops`` and ``mask``; ``twofold pretrain --help`` explains them. With other than 3 channels, or
                with ``colours="none"``, channels are bands of measurements: the jitter is a gain (1 +- ``contrast``)
                and an offset (+- ``brightness`` standard deviations) of each band, other colour operations are left
                out, and floats may have any range.

        Raises:
            UsageError: for a setting that does not exist, with the nearest one, or whose value does not fit; for
                colour operations that are asked for where channels are no colours; for masks without ``patch_size``
                that are not to be filled.
        """
        super().__init__()
        if min(size, views) < 1:
            raise UsageError(f"size and views must be at least 1, not {size} and {views}")
        mean, std = tuple(map(float, mean)), tuple(map(float, std))
        if len(mean) != len(std) or not mean or not all(width > 0 for width in std):
            raise UsageError(f"mean and std must be a number for each channel, std above 0, not {mean} and {std}")
        augment = augmentation(settings, len(mean))
        if augment.small_crops and not augment.small_size:
            augment = dataclasses.replace(augment, small_size=small_view(size, patch_size or 1))
        if max(augment.mask[:views]) > 0 and not augment.mask_fill and patch_size is None:
            raise UsageError(
                "masked patches are dropped by a vision transformer, whose patch_size must be given; a convolution "
                "would see artificial edges around them; mask_fill=True fills them all the same"
            )
        kinds = pipelines(augment, size, views, named(distortions), std, whole)
        self.augment, self.pipelines = augment, kinds
        if not dtype.is_floating_point:
            raise UsageError(f"views are floating-point numbers, not {str(dtype).removeprefix('torch.')}")
        self.full_size = views
        self.seed, self.whole, self.normalize = operator.index(seed), whole, Normalize(mean, std)
        self.patch_size, self.dtype = patch_size, dtype
        self.step, self.checked = 0, False

    def forward(
        self,
        images: Images,
        index: Tensor | np.ndarray | Sequence[int] | None = None,
        step: SupportsIndex | None = None,
        second: Images | None = None,
    ) -> Batch:
        """The views of one step, on the images' device.

        Args:
            images: [n, C, H, W], or n images [C, H, W] of several sizes; uint8, uint16, or float, of colours
                from 0 to 1.
            index: the images' numbers in the data, int64 [n], for methods that remember each image.
            step: the number of the step, from 0; None: one more than at the call before in training mode, 0 at the
                first.
            second: n other images, such as neighbours of the first ones, which the second view shows instead.

        Raises:
            UsageError: for images of another type or number of channels, another number of second ones or of
                ``index``, or second ones without a second view; for floats of another range, of which only the first
                ones are looked at; without ``step`` in a worker of a DataLoader, whose copy of this module begins anew
                in each epoch.
        """
        if step is None and torch.utils.data.get_worker_info() is not None:
            raise UsageError(
                "in a worker of a DataLoader every epoch would have the same draws: call Views in the loop on the "
                "whole batch, where it is also faster, or give it the number of the step"
            )
        stacks = stacks_of(images)
        others = stacks if second is None else stacks_of(second)
        self.check(stacks if second is None else [*stacks, *others])
        if sum(map(len, stacks)) != sum(map(len, others)):
            raise UsageError(f"{sum(map(len, others))} second images for {sum(map(len, stacks))} first ones")
        if second is not None and self.full_size < 2:
            raise UsageError(
                "second images are shown in the second full-size view, and these views have only one: set views=2"
            )
        n, on = sum(map(len, stacks)), stacks[0].device
        numbers = None if index is None else torch.as_tensor(index).to(on)
        if numbers is not None and numbers.shape != (n,):
            raise UsageError(f"index must have the number of each of {n} images, not the shape {list(numbers.shape)}")
        step = operator.index(self.step if step is None else step)
        if self.training:
            self.step = step + 1
        rows = slice(dist.rank() * n, (dist.rank() + 1) * n)
        chance = Chance(self.seed, step, n * dist.world(), rows, 0, torch.empty(0, device=on))
        draws = [drawn.rows(rows) for drawn in self.draw(step, chance.total)]
        with torch.autocast(on.type, enabled=False):
            crops = [
                cut(others if number == 1 else stacks, view, drawn)
                for number, (view, drawn) in enumerate(zip(self.pipelines, draws, strict=True))
            ]
            return self.finish(crops, draws, numbers, chance)

    if TYPE_CHECKING:  # torch declares what a module is called with as anything
        __call__ = forward

    def draw(self, step: int, n: int) -> list[Draws]:
        """Everything random about the views of one step but the masks, for its whole batch of ``n`` images."""
        return [view.draw(Streams(self.seed, ("view", step, i)), n) for i, view in enumerate(self.pipelines)]

    def finish(self, crops: Sequence[Tensor], draws: Sequence[Draws], index: Tensor | None, chance: Chance) -> Batch:
        """From each view's crops, float [n, C, S, S] as `cut` gives them, to the batch: the rows of a step.

        A whole view, which is the last one, may be left out.
        """
        views: dict[int, View] = {}
        on = crops[0].device
        groups = alike(self.pipelines[: len(crops)], stacked=device.overlaps(on))
        on_device = sent([together([draws[number] for number in group]) for group, _ in groups], on)
        for (group, view), drawn in zip(groups, on_device, strict=True):
            stack = torch.cat([crops[number] for number in group]) if len(group) > 1 else crops[group[0]]
            images = self.normalize(view.apply(stack, drawn)).to(self.dtype)
            for number, part in zip(group, images.tensor_split(len(group)), strict=True):
                views[number] = self.masked(part, number, chance)
        return Batch(tuple(views[number] for number in range(len(crops))), index, chance)

    def masked(self, images: Float[Tensor, "n c h w"], number: int, chance: Chance) -> View:
        """View ``number`` of a batch, of its images, as its share of masked patches says."""
        a, share, size = self.augment, self.pipelines[number].mask, images.shape[-1]
        if share == 0:
            return View(images)
        side = size // self.patch_size if self.patch_size else fill_grid(size)
        mask = filled if a.mask_fill else masked
        return mask(View(images), side, share, a.mask_shape, chance, f"mask {number}")

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        self.step = int(state)

    def check(self, stacks: Sequence[Tensor]) -> None:
        """
        Raises:
            UsageError: if these are not images [n, C, H, W] with the channels and the range of values that are due.
        """
        if not any(stack.numel() for stack in stacks):
            raise UsageError("there are no images to make views of")
        for images in stacks:
            if images.ndim != 4 or not (images.dtype in (torch.uint8, torch.uint16) or images.is_floating_point()):
                kind = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
                raise UsageError(
                    f"images must be uint8, uint16 or float [n, C, H, W], or a list of [C, H, W], not {kind}"
                )
            if images.requires_grad:
                raise UsageError("images must need no gradient, as views have none: images.detach()")
            c, due = images.shape[1], self.normalize.mean.shape[1]
            if c != due:
                last = f"; channels come first: give images of {due} channels as [n, {due}, H, W]"
                hint = last if images.shape[3] == due else ""
                raise UsageError(f"images of {c} channels need a mean and a std of {c} values, not {due}{hint}")
            look = self.augment.colours != "none" and images.is_floating_point() and not self.checked
            if look and not 0 <= images.min() <= images.max() <= 1:
                raise UsageError(
                    f"float images must be from 0 to 1, not from {images.min():.3g} to {images.max():.3g}: views are "
                    "normalised afterwards, by mean and std"
                )
            self.checked |= look  # the first ones of the kind; others do not wait for the device


def stacks_of(images: Images) -> list[Tensor]:
    """Images as tensors [n, C, H, W], each of one size.

    Raises:
        UsageError: if these are neither tensors nor arrays.
    """
    if isinstance(images, Tensor) or (isinstance(images, np.ndarray) and images.dtype != object):  # which is a list
        return [_as_tensor(images)]
    return [_as_tensor(image)[None] for image in images]


def _as_tensor(image: Any) -> Tensor:
    if isinstance(image, Tensor):
        return image
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"images must be tensors or arrays [C, H, W], not {type(image).__name__}; of PIL images torchvision's "
            "pil_to_tensor makes such tensors"
        )
    native = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    return torch.from_numpy(native if native.flags.writeable else native.copy())  # torch warns of others


def augmentation(settings: dict[str, Any], channels: int) -> Augment:
    """Settings by name as `Augment`'s, its defaults for the others; no colour operation where channels are bands.

    Raises:
        UsageError: for a setting that does not exist, does not fit, or is for colours that are not there.
    """
    kinds, declared = types_of(Augment), declarations(Augment)
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in kinds:
            raise UsageError(f"views have no setting {name!r}{did_you_mean(name, kinds)}")
        if value is not None:
            found[name] = convert(value, kinds[name], name)
            declared[name].check(name, found[name])
    found = {"colours": "rgb" if channels == 3 else "none", "flip": FLIP, **found}
    if found["colours"] != "none" and channels != 3:
        raise UsageError(f"colours are 3 channels, red, green and blue, not {channels}")
    return Augment(**found | without_colours(found["colours"], found))


def cut(stacks: Sequence[Tensor], view: ViewPipeline, draws: Draws) -> Float[Tensor, "n c s s"]:
    """A view's crops, resized and mirrored, out of images that are stacked where their sizes agree.

    Whole numbers and colours are from 0 to 1, and clamped there; other floats are as they are.
    """
    lengths = [len(images) for images in stacks]
    sizes = torch.cat([torch.tensor([images.shape[2:]]).expand(len(images), 2) for images in stacks])
    boxes, flips = view.boxes(draws, sizes).split(lengths), draws.flip.split(lengths)
    found = []
    for images, box, flip in zip(stacks, boxes, flips, strict=True):
        box, flip = device.send([box, flip], images.device)
        found.append(resized_crop(images, box, flip, view.size, view.augment.interpolation))
    crops = torch.cat(found)
    floats = any(images.is_floating_point() for images in stacks)
    return crops.clamp_(0, 1) if floats and view.augment.colours != "none" else crops
