"""What a step gives to a method: views, the images' numbers, and chance."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from twofold import rng


@dataclass(frozen=True)
class View:
    """One distorted view of each of n images.

    ``images``: float [n, C, S, S], normalised. ``ids_keep``: int64 [n, k], the numbers of the patches that a vision
    transformer sees, in row-major order; None: all.
    """

    images: Tensor
    ids_keep: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def kind(self) -> tuple[int, int]:
        """Views of one kind can go through a network together."""
        return self.images.shape[-1], -1 if self.ids_keep is None else self.ids_keep.shape[1]


def cat(views: Sequence[View]) -> View:
    """Views of one kind, one after the other."""
    if len(views) == 1:
        return views[0]
    kept = [v.ids_keep for v in views if v.ids_keep is not None]
    return View(torch.cat([v.images for v in views]), torch.cat(kept) if kept else None)


@dataclass(frozen=True)
class Chance:
    """Randomness that a method asks for by name: a function of the seed, the step and the name alone.

    It is drawn for the step's whole batch, of which ``rows`` are this process's, so the number of processes does not
    matter. A step that is computed in several parts has a ``part`` number. `normal` draws on the device, and other
    kinds of device give other numbers.
    """

    seed: int
    step: int
    total: int
    rows: slice
    part: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Each row its own: float32 [n, *shape], 0 to 1."""
        generator = rng.generator(self.seed, "chance", self.step, name)
        return torch.rand(self.total, *shape, generator=generator)[self.rows].to(self.device)

    def normal(self, name: str, *shape: int) -> Tensor:
        """Each row its own: float32 [n, *shape], standard normal; drawn on the device, as there may be many."""
        generator = torch.Generator(self.device).manual_seed(rng.fold(self.seed, "chance", self.step, name))
        return torch.randn(self.total, *shape, generator=generator, device=self.device)[self.rows]

    def shared(self, name: str, count: int) -> Tensor:
        """The same for all rows and processes: float32 [count], 0 to 1."""
        generator = rng.generator(self.seed, "chance", self.step, name, self.part)
        return torch.rand(count, generator=generator).to(self.device)


@dataclass(frozen=True)
class Batch:
    """``views``: the full-size ones, then multi-crop's small ones. ``index``: each image's number in the data, [n]."""

    views: tuple[View, ...]
    index: Tensor
    chance: Chance

    @classmethod
    def of(cls, views: "Batch | Sequence[Tensor]") -> "Batch":
        assert isinstance(views, Batch)
        return views
