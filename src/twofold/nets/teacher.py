"""A teacher: a frozen network that another one learns from. How it is opened, and how it gets its images."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec, built_by, described, features_of
from twofold.nets.chunks import Chunked, in_chunks
from twofold.nets.normalize import Normalize
from twofold.nets.recorded import fill, recorded_spec, recorded_weights
from twofold.nets.whole import whole_network
from twofold.recipe.foreign import is_foreign


class Teacher(nn.Module, Chunked):
    """A frozen network and the preparation of its images: normalised views [n, C, S, S] -> features [n, width].

    It follows its owner to any device and type, but is in none of its parameters and in no ``state_dict``: it never
    changes, so whoever keeps checkpoints keeps ``network`` and ``spec`` once, beside them. It is always in eval mode.
    """

    def __init__(
        self, network: nn.Module, spec: BackboneSpec, size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """
        Args:
            spec: how the network is built, and the mean and std that its own images have; if these are of other
                channels than the views, as of a network that does not say what it takes, it gets the views as they are.
            size: side in pixels that views are resized to.
            mean: of each channel of the views, for images from 0 to 1.
            std: the standard deviation of each channel of the views.

        Raises:
            UsageError: if it does not take images of that size, or gives no vector for each.
        """
        super().__init__()
        self.hidden = (network.eval().requires_grad_(False),)  # a tuple: what is in it is no part of this module
        channels, others = len(mean), len(spec.mean)
        if others != channels:
            spec = dataclasses.replace(spec, mean=tuple(mean), std=tuple(std))
        self.size, self.views, self.own = size, Normalize(mean, std), Normalize(spec.mean, spec.std)
        try:
            self.width = features_of(network, size, channels)
        except UsageError as error:
            if others != channels:
                takes = f"takes images of {others} channel{'s' * (others > 1)}, and these have {channels}"
                hint = f" (--channels {others})" if {others, channels} == {1, 3} else ""
                raise UsageError(f"the teacher {spec.name} {takes}{hint}") from None
            raise UsageError(f"the teacher {spec.name}: {error}") from None
        self.spec = dataclasses.replace(spec, features=self.width, size=size)  # of the images that it has seen here

    @property
    def network(self) -> nn.Module:
        return self.hidden[0]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        self.network._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    @torch.no_grad()
    def forward(self, views: Float[Tensor, "n c s s"]) -> Float[Tensor, "n width"]:
        return in_chunks(self.answers, (views,), self.chunk)

    def answers(self, views: Tensor) -> Tensor:
        """`forward` of views that pass the network at once."""
        images = self.views.undo(views)
        if images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        features: Tensor = self.network(self.own(images).to(views.dtype))
        return features


def open_teacher(
    teacher: str, weights: str, view_size: int, size: int, mean: Sequence[float], std: Sequence[float]
) -> Teacher:
    """The teacher of a name.

    Args:
        teacher: a timm model, the directory of a run, or ``package.module:function``, which builds a module with its
            weights.
        weights: of a timm model: ``published``, a file, or the directory of a run.
        view_size: side of the views in pixels.
        size: side in pixels that the teacher sees; 0: that of the views, or the teacher's own if it takes no other.
        mean: of each channel of the views, for images from 0 to 1.
        std: the standard deviation of each channel of the views.

    Raises:
        UsageError: if there is no such teacher, its weights cannot be had, or it does not take the images.
    """
    network, spec = opened(teacher, weights)
    if size or takes(network, view_size, len(mean)):
        return Teacher(network, spec, size or view_size, mean, std)
    return Teacher(network, spec, spec.size, mean, std)


def takes(network: nn.Module, size: int, channels: int) -> bool:
    """Whether a network takes images of ``size`` pixels."""
    try:
        features_of(network, size, channels)
    except UsageError:
        return False
    return True


def opened(teacher: str, weights: str) -> tuple[nn.Module, BackboneSpec]:
    """The network of `open_teacher` with its weights, and how it is built."""
    folder = Path(teacher)
    if not teacher:
        raise UsageError(
            "there is no teacher to learn from: --teacher needs a timm model, a run, or package.module:function"
        )
    if folder.is_dir():
        if not (folder / "backbone.json").exists():
            raise UsageError(f"{folder} has no backbone to learn from: no run has ended there")
        spec = recorded_spec(folder)
        network = spec.build()
        fill(network, recorded_weights(folder), folder)
        return network, spec
    if is_foreign(teacher):
        network = built_by(teacher, {})
        return network, described(network, teacher)
    return whole_network(teacher, weights)
