"""What every method is: a map from a batch of views to named scalars and embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from twofold.batch import Batch, View, cat
from twofold.nets.vit import encode

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a method is built for: the backbone's features, the number of images, a view's side in pixels, the seed."""

    features: int
    images: int
    size: int
    seed: int = 0
    channels: int = 3

    def width(self, projector: Sequence[int]) -> int:
        """Of the embeddings that a projector with layers of these widths gives."""
        return projector[-1] if projector else self.features


class Output(NamedTuple):
    """The loss is the sum of ``terms``; ``embeddings`` are what they were computed of, over all processes."""

    terms: dict[str, Tensor]
    embeddings: tuple[Tensor, ...]


class Method(nn.Module, ABC):
    """One level of inheritance: a method subclasses this and is final.

    All its state is in its ``state_dict``; everything else is a function of the batch and of ``progress``, the share
    of the run that is done, 0 to 1.
    """

    VIEWS: ClassVar[int] = 2
    """full-size views of each image that the method needs"""
    MULTI_CROP: ClassVar[bool] = True
    """whether it also takes small ones"""
    MASK: ClassVar[Literal["allowed", "needed", "refused"]] = "allowed"
    """of its first view"""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> Output: ...

    def after_step(self, progress: float) -> None:
        """Called after the optimizer has moved the weights: a momentum encoder follows here."""

    @abstractmethod
    def collapsed_loss(self, batch: int) -> float:
        """The loss of a collapsed batch, all embeddings alike, or of guessing: the yardstick beside the loss."""

    def encode(self, view: View) -> Tensor:
        """The backbone's features of a view: [n, features]."""
        return encode(self.backbone, view)

    def project(self, features: Tensor) -> Tensor | None:
        """Features after the projector, as the loss sees them; None where the method has no projector."""
        projector = getattr(self, "projector", None)
        if isinstance(projector, nn.Module) and next(projector.parameters(), None) is not None:
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
