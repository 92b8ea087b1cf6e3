"""What every method is: a map from a batch of views to named scalars and embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """What a method gets.

    ``views``: float [n, C, S, S] each, normalised; two full-size ones, then multi-crop's small ones.
    ``index``: each image's number in the data, int64 [n].
    """

    views: tuple[Tensor, ...]
    index: Tensor


class Output(NamedTuple):
    """The loss is the sum of ``terms``; ``embeddings`` are what they were computed of, over all processes."""

    terms: dict[str, Tensor]
    embeddings: tuple[Tensor, ...]


class Method(nn.Module, ABC):
    """One level of inheritance: a method subclasses this and is final.

    All its state is in its ``state_dict``; everything else is a function of the batch and of ``progress``, the share
    of the run that is done, 0 to 1.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> Output: ...

    def after_step(self, progress: float) -> None:
        """Called after the optimizer has moved the weights: a momentum encoder follows here."""

    @abstractmethod
    def trivial(self, batch: int) -> float:
        """The loss of a collapsed batch, all embeddings alike: the yardstick beside the loss."""


def pairs(views: Sequence[T]) -> list[tuple[T, T]]:
    """The pairs of views that an energy compares: those with a full-size one, that is one of the first two."""
    return [(views[i], views[j]) for i, j in combinations(range(len(views)), 2) if i < 2]


def mean(values: Sequence[Tensor]) -> Tensor:
    return sum(values[1:], start=values[0]) / len(values)
