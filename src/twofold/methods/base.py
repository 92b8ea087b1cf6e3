"""What every method is: a map from a batch of views to named scalars and embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeVar

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F

from twofold.batch import Batch, View, cat
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.nets.chunks import Chunked, in_chunks
from twofold.nets.vit import encode

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a method is built for.

    ``features``: how many the backbone gives. ``images``: how many there are in the data, or None where nobody has
    said, as in a loop of one's own. ``size``: a full-size view's side in pixels. ``channels``: of an image. ``mean``,
    ``std``: by which views are normalised, of each channel, for images from 0 to 1. ``kept``: the directory of a run
    that goes on or has ended, where it keeps what the method was `given`.
    """

    features: int
    images: int | None
    size: int
    seed: int = 0
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN
    std: tuple[float, ...] = IMAGENET_DEFAULT_STD
    kept: Path | None = None

    def width(self, projector: Sequence[int]) -> int:
        """Of the embeddings that a projector with layers of these widths gives."""
        return projector[-1] if projector else self.features

    def at_most_images(self, length: int) -> int:
        """The length of a memory that never holds more entries than there are images."""
        return length if self.images is None else min(length, self.images)


class Exported(NamedTuple):
    """The networks of one side of a method that features go through, as far as it has them.

    ``projector``: after the ``backbone``. ``prototypes``: what projected features are compared with.
    """

    backbone: nn.Module
    projector: nn.Module | None = None
    prototypes: nn.Module | None = None


class Output(NamedTuple):
    """What a method makes of a batch.

    ``terms``: scalars by name, whose sum is the loss. ``embeddings``: what they were computed of, a tensor a view, over
    all processes: [N * world, D] each.
    """

    terms: dict[str, Tensor]
    embeddings: tuple[Tensor, ...]

    @property
    def loss(self) -> Tensor:
        """The sum of the terms: call ``backward()`` on it."""
        return torch.stack(list(self.terms.values())).sum()


class Method(nn.Module, Chunked, ABC):
    """A method of self-supervised learning: a module that maps a batch of views to an `Output`.

    A subclass is final. Its constructor takes the backbone, a `Setup` and its `Options`. All its state is in its
    ``state_dict``; everything else is a function of the batch and of ``progress``, the share of the run that is done,
    0 to 1. A loop of one's own calls it as

        output = method(batch, progress=step / steps)
        output.loss.backward()
        optimizer.step()
        method.after_step(step / steps)

    Under several processes the losses see the batch of all of them, and the gradient follows the convention of
    DistributedDataParallel: averaged over the processes it is that of one process with the whole batch.

    ``chunk``, of the images in a process, is how many pass the backbone at once; None: all. Projector and loss see the
    whole batch all the same (`twofold.nets.chunks`).
    """

    VIEWS: ClassVar[int] = 2
    """full-size views of each image that the method needs"""
    MULTI_CROP: ClassVar[bool] = True
    """whether it also takes small ones"""
    NEIGHBOURS: ClassVar[bool] = True
    """whether its second view, if it has one, may show another image that is alike"""
    MASK: ClassVar[Literal["allowed", "needed", "refused"]] = "allowed"
    """of its first view"""
    whole: bool = False
    """whether it also needs each image, when it first comes, whole and undistorted: as a last view"""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def __call__(self, batch: Batch | Sequence[Tensor], progress: float = 0.0) -> Output:
        """What the method makes of a batch.

        Args:
            batch: what `Views` gives, or a normalised tensor [n, C, S, S] for each view.
            progress: the share of the run that is done, 0 to 1; schedules follow it.

        Raises:
            UsageError: for fewer views than the method needs, or progress outside 0 to 1.
        """
        given = Batch.of(batch)
        if len(given.views) < self.VIEWS:
            kind = type(self).__name__
            raise UsageError(
                f"{kind} needs {self.VIEWS} views of each image, not {len(given.views)}: see twofold.Views"
            )
        if not 0 <= progress <= 1:
            raise UsageError(f"progress is the share of the run that is done, from 0 to 1, not {progress:g}")
        output = super().__call__(given, progress)
        if not isinstance(output, Output):
            kind = type(self).__name__
            raise UsageError(f"forward of {kind} must return a twofold.Output, not {type(output).__name__}")
        return output

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> Output:
        """What a subclass defines: the terms of the loss, and the embeddings that they are computed of.

        Args:
            batch: ``views``, the full-size ones first; ``index``, the images' numbers or None; ``chance``, random
                numbers by name.
            progress: the share of the run that is done, 0 to 1.
        """

    def after_step(self, progress: float) -> None:
        """To be called after the optimizer has moved the weights: a momentum encoder follows here."""

    @abstractmethod
    def collapsed_loss(self, batch_size: int) -> float:
        """The loss of a collapsed batch, all embeddings alike, or of guessing: the yardstick beside the loss."""

    def given(self) -> dict[str, tuple[nn.Module, BackboneSpec]]:
        """Networks from elsewhere that it does not change, by name, and how each is built.

        They are in no ``state_dict``. A run keeps each in a folder of that name, once, where `Setup.kept` finds it.
        """
        return {}

    @property
    def exported(self) -> Exported:
        """What is exported, evaluated and looked at: the networks that learn, unless a method says others."""
        return Exported(self.backbone, getattr(self, "projector", None), getattr(self, "prototypes", None))

    def encode(self, view: View) -> Tensor:
        """The backbone's features of a view: [n, features]."""
        return self.in_chunks(lambda images, keep: encode(self.backbone, View(images, keep)), *view)

    def in_chunks(
        self, network: Callable[..., Tensor], *rows: Tensor | None, weights: Iterable[nn.Parameter] = ()
    ) -> Tensor:
        """``network(*rows)``, which calls the backbone, in chunks where `chunk` asks for them.

        Args:
            rows: tensors of so many rows each, or None; the first is one.
            weights: what gets a gradient in ``network`` besides the rows and the backbone.
        """
        return in_chunks(network, rows, self.chunk, self.backbone, [*self.backbone.parameters(), *weights])

    def project(self, features: Tensor) -> Tensor | None:
        """Features of the exported backbone after its projector; None where there is none."""
        projector = self.exported.projector
        if projector is not None and next(projector.parameters(), None) is not None:
            projected: Tensor = projector(features)
            return projected
        return None


def pairs(views: Sequence[T]) -> list[tuple[T, T]]:
    """The pairs of views that an energy compares: those with a full-size one, that is one of the first two."""
    return [(views[i], views[j]) for i, j in combinations(range(len(views)), 2) if i < 2]


def directions(predictions: Sequence[T], targets: Sequence[T]) -> list[tuple[T, T]]:
    """Every view's prediction with every other view's target."""
    return [(p, t) for i, p in enumerate(predictions) for j, t in enumerate(targets) if i != j]


def mean(values: Sequence[Tensor]) -> Tensor:
    return sum(values[1:], start=values[0]) / len(values)


def together(network: Callable[[View], Tensor], views: Sequence[View]) -> list[Tensor]:
    """What a network makes of each view; views of one kind go through it at once."""
    found: dict[int, Tensor] = {}
    for kind in dict.fromkeys(view.kind for view in views):
        members = [i for i, view in enumerate(views) if view.kind == kind]
        rows = network(cat([views[i] for i in members]))
        found |= dict(zip(members, rows.split([len(views[i].images) for i in members]), strict=True))
    return [found[i] for i in range(len(views))]


def unit(rows: Tensor) -> Tensor:
    """Rows of length 1."""
    return F.normalize(rows, dim=1)
