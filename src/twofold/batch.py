"""What a step gives to a method: views, the images' numbers, and chance.

All three are named tuples, so whatever moves or converts the tensors of a step (DistributedDataParallel, Lightning
Fabric, accelerate, torch's pytrees) finds those inside.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from twofold import device, dist, rng
from twofold.errors import UsageError


class View(NamedTuple):
    """One distorted view of each of n images.

    ``images``: float [n, C, S, S], normalised. ``ids_keep``: int64 [n, k], the numbers of the patches that a vision
    transformer sees, in row-major order; None: all.
    """

    images: Tensor
    ids_keep: Tensor | None = None

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


class Chance(NamedTuple):
    """Random numbers that a method asks for by name; they are a function of the seed, the step and the name alone.

    It is drawn for the step's whole batch of ``total`` images, of which ``rows`` are this process's, so the number of
    processes does not matter. A step that is computed in several parts has a ``part`` number. `normal` draws on the
    device, and other kinds of device give other numbers. ``place`` is an empty tensor on the device where the numbers
    are wanted: whatever moves a batch to another device moves it along.
    """

    seed: int
    step: int
    total: int
    rows: slice
    part: int = 0
    place: Tensor = torch.empty(0)

    @property
    def device(self) -> torch.device:
        return self.place.device

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform numbers from 0 to 1, different for each row: float32 [n, *shape]."""
        generator = rng.generator(self.seed, "chance", self.step, name)
        return self._sent(torch.rand(self.total, *shape, generator=generator, dtype=torch.float32)[self.rows])

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal numbers, different for each row: float32 [n, *shape], drawn on the device."""
        generator = torch.Generator(self.device).manual_seed(rng.fold(self.seed, "chance", self.step, name))
        shape = (self.total, *shape)
        return torch.randn(shape, generator=generator, device=self.device, dtype=torch.float32)[self.rows]

    def shared(self, name: str, count: int) -> Tensor:
        """Uniform numbers from 0 to 1, the same for all rows and processes: float32 [count]."""
        generator = rng.generator(self.seed, "chance", self.step, name, self.part)
        return self._sent(torch.rand(count, generator=generator, dtype=torch.float32))

    def shared_normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal numbers, the same for all rows and processes: float32 of that shape."""
        generator = rng.generator(self.seed, "chance", self.step, name, self.part)
        return self._sent(torch.randn(shape, generator=generator, dtype=torch.float32))

    def _sent(self, drawn: Tensor) -> Tensor:
        return device.send([drawn], self.device)[0]


class Batch(NamedTuple):
    """What a method is given in a step: views of n images.

    Attributes:
        views: a `View` for each, the full-size ones first, then the small ones, then the whole images where a method
            asks for them.
        index: each image's number in the data, int64 [n]; None where it is not known.
        chance: random numbers by name.
    """

    views: tuple[View, ...]
    index: Tensor | None  # type: ignore[assignment]  # hides the method that tuples have
    chance: Chance

    @classmethod
    def of(cls, views: "Batch | View | Tensor | Sequence[View | Tensor]") -> "Batch":
        """A batch of views that were made elsewhere, normalised tensors [n, C, S, S] on one device, or `View`s.

        A batch is given back as it is. A new one draws the seed of its ``chance`` from torch's global generator, which
        ``torch.manual_seed`` sets. Several processes use the first one's seed, each for the rows of its rank, so all
        must hold equally many images.

        Raises:
            UsageError: if there is no view, the views are not float tensors [n, C, S, S] with the same n, or this
                process has another n than the first one.
        """
        if isinstance(views, Batch):
            return views
        given = [views] if isinstance(views, View | Tensor) else list(views)
        found = tuple(view if isinstance(view, View) else View(view) for view in given)
        shapes = [tuple(view.images.shape) for view in found]
        if not shapes or any(len(shape) != 4 or shape[0] != shapes[0][0] for shape in shapes):
            raise UsageError(f"views must be tensors [n, C, S, S] with one n, not of the shapes {shapes}")
        if shapes[0][0] == 0:
            raise UsageError("the views have no images")
        if not all(view.images.is_floating_point() for view in found):
            raise UsageError("views must be of floats: twofold.Views makes them of images of whole numbers")
        n, place = len(found[0].images), found[0].images.new_empty(0)
        drawn = torch.stack([torch.randint(2**63 - 1, ()), torch.tensor(n)]).to(place.device)
        seed, of_first = dist.from_first(drawn).tolist()
        if n != of_first:
            raise UsageError(
                f"process {dist.rank()} has {n} images where process 0 has {of_first}: all must have equally many, so "
                "leave the last ones out (drop_last of a DataLoader)"
            )
        first = dist.rank() * n
        return cls(found, None, Chance(seed, 0, n * dist.world(), slice(first, first + n), 0, place))
