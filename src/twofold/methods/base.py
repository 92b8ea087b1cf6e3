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
from twofold.recipe.general import Recipe

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a method is built for.

    Attributes:
        features: how many numbers the backbone gives for an image.
        images: how many images the data have; None where nobody has said, as in a training loop of your own.
        size: the side of a full-size view in pixels.
        seed: the number that decides what is drawn while the method is built.
        channels: how many channels an image has.
        mean: the mean of each channel that views are normalised by, for images from 0 to 1.
        std: the standard deviation of each channel, likewise.
        kept: the directory of a run that goes on or has ended, where the networks of `Method.given` are found again.
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
        """How many numbers an embedding has after a projector with layers of these widths, or without any layer."""
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

    Attributes:
        terms: the terms of the loss by name, each a scalar tensor; the loss is their sum.
        embeddings: what they were computed from: a tensor [n * world, D] for each view, with the rows of all processes.
    """

    terms: dict[str, Tensor]
    embeddings: tuple[Tensor, ...]

    @property
    def loss(self) -> Tensor:
        """The sum of the terms: call ``backward()`` on it."""
        return torch.stack(list(self.terms.values())).sum()


class Method(nn.Module, Chunked, ABC):
    """A method of self-supervised learning: a module that maps a batch of views to an `Output`.

    A subclass is final. Its constructor takes the backbone, a `Setup` and its `Options`, and it defines `forward` and
    `collapsed_loss`. All its state is in its ``state_dict``; everything else is a function of the batch and of
    ``progress``, the share of the run that is done, from 0 to 1. A training loop of your own calls it like this::

        output = method(batch, progress=step / steps)
        output.loss.backward()
        optimizer.step()
        method.after_step(step / steps)

    Under several processes the losses see the batch of all of them, and the gradient follows the convention of
    DistributedDataParallel: averaged over the processes it is that of one process with the whole batch.

    The attribute ``chunk`` says how many images pass through the backbone at a time in each process; None: all of them.
    Projector and loss see the whole batch in any case (`twofold.nets.chunks`).
    """

    VIEWS: ClassVar[int] = 2
    """how many full-size views of each image the method needs"""
    MULTI_CROP: ClassVar[bool] = True
    """whether it also takes small views"""
    NEIGHBOURS: ClassVar[bool] = True
    """whether its second view, if it has one, may show another, similar image"""
    TURNED: ClassVar[bool] = True
    """whether its views may be turned by 90, 180 and 270 degrees"""
    MASK: ClassVar[Literal["allowed", "needed", "refused"]] = "allowed"
    """whether patches of its first view may, must or must not be masked"""
    recipe: Recipe | None = None
    """what it was made by, where `twofold.create_method` or a run has made it; its views follow it"""
    whole: bool = False
    """whether it needs each image, when it first comes, also whole and undistorted, as the last view"""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def __call__(self, batch: Batch | Sequence[Tensor], progress: float) -> Output:
        """Compute the terms of the loss and the embeddings of a batch.

        Args:
            batch: what `Views` gives, or a sequence with a normalised tensor [n, C, S, S] for each view.
            progress: the share of the run that is done, from 0 to 1; schedules follow it.

        Raises:
            UsageError: for fewer views than the method needs, for progress outside 0 to 1, or if ``forward`` returns
                no `Output` or one whose terms are no scalar tensors.
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
        odd = [name for name, term in output.terms.items() if not isinstance(term, Tensor) or term.ndim]
        if odd or not output.terms:
            what = f"{odd[0]} is not" if odd else "there are none"
            raise UsageError(f"the terms of {type(self).__name__}'s loss must be scalar tensors, and {what}")
        return output

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> Output:
        """Compute the terms of the loss and the embeddings that they are computed from; every subclass defines this.

        Args:
            batch: ``views``, the full-size ones first; ``index``, the images' numbers or None; ``chance``, random
                numbers by name.
            progress: the share of the run that is done, 0 to 1.
        """

    def after_step(self, progress: float) -> None:
        """Follow the weights that the optimizer has changed, as a momentum encoder does: call it after each step."""

    @abstractmethod
    def collapsed_loss(self, batch_size: int) -> float:
        """The loss of a batch of ``batch_size`` images whose embeddings are all the same, or whose targets are guessed.

        A run shows it beside the loss; every subclass defines this.
        """

    def given(self) -> dict[str, tuple[nn.Module, BackboneSpec]]:
        """Networks from elsewhere that the method uses and does not change, by name, each with how it is built.

        They are in no ``state_dict``. A run keeps each once, in a folder of that name in the directory `Setup.kept`.
        """
        return {}

    @property
    def exported(self) -> Exported:
        """The networks that a run gives: those that learn, unless a method says otherwise.

        From starting weights a run gives a backbone between these and this one, as ``interpolate_weights`` says.
        """
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
