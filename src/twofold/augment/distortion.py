"""Own distortions: what one is, and how those that are named are found. A complete one, and its use::

    class Gamma(twofold.Distortion):
        '''The values of each image to a power of its own.'''

        def draw(self, n, random):
            return random.uniform("power", n, 0.5, 2.0)

        def apply(self, images, power):
            return images ** power[:, None, None, None]

    views = twofold.Views(size=32, distortions=[Gamma()])

In a module my_package/noise.py it is named on the command line and in recipes as ``my_package.noise:Gamma``.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from twofold.errors import UsageError
from twofold.recipe import foreign
from twofold.rng import Streams

Drawn = Tensor | dict[str, Tensor]
"""What a distortion has drawn for n images: a tensor with a row for each, or several by name."""


class Distortion(ABC):
    """A distortion of views of your own, which is applied after all others.

    A subclass defines `apply` and, where anything about it is random, `draw`. The two are apart so that several
    processes distort their images as one process would.
    """

    views: tuple[int, ...] | None = None
    """the numbers of the views that it is applied to, from 0 on, small views last; None: to all, (): to none"""

    def draw(self, n: int, random: Streams) -> Drawn:
        """Draw what is random about ``n`` images: tensors on the CPU with a row for each; by default nothing is.

        Args:
            n: how many images the whole batch has, over all processes.
            random: streams of random numbers by name, as ``random.uniform("strength", n, 0.0, 0.2)``: a function of
                the seed, the step, the view and this distortion. Nothing else may be random.
        """
        return {}

    @abstractmethod
    def apply(self, images: Tensor, drawn: Any) -> Tensor:
        """Distort images, and return them in the same shape; colours that leave the range 0 to 1 are cut off.

        Args:
            images: float [n, C, S, S], colours from 0 to 1, not yet normalised.
            drawn: these images' rows of what `draw` gave, on their device. No image may depend on another one, as
                there are fewer of them where several processes share a batch.
        """


@dataclass(frozen=True)
class Named:
    """A distortion under the name of its streams: of its class, and how many of that class come before it."""

    distortion: Distortion
    name: str
    number: int

    def draw(self, n: int, random: Streams) -> Drawn:
        """
        Raises:
            UsageError: if it gives anything but tensors with ``n`` rows.
        """
        drawn: Any = self.distortion.draw(n, random.within("own", self.name, self.number))
        rows = list(drawn.values()) if isinstance(drawn, dict) else [drawn]
        if not all(isinstance(part, Tensor) and part.ndim and len(part) == n for part in rows):
            raise UsageError(f"{self.name}.draw must give a tensor with a row for each of n images, or several by name")
        return drawn  # type: ignore[no-any-return]

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        """
        Raises:
            UsageError: if it gives anything but images of the same shape.
        """
        distorted: Any = self.distortion.apply(images, each(drawn, lambda part: part.to(images.device)))
        if not (isinstance(distorted, Tensor) and distorted.shape == images.shape):
            shape = list(distorted.shape) if isinstance(distorted, Tensor) else type(distorted).__name__
            raise UsageError(f"{self.name}.apply must give images of the shape {list(images.shape)}, not {shape}")
        return distorted.to(images.dtype)


def each(drawn: Drawn, change: Callable[[Tensor], Tensor]) -> Drawn:
    """What was drawn, with each tensor changed."""
    return change(drawn) if isinstance(drawn, Tensor) else {name: change(part) for name, part in drawn.items()}


def named(distortions: Sequence[Distortion | type[Distortion] | str]) -> tuple[Named, ...]:
    """Distortions as `Views` uses them: instances, classes that need no arguments, or either's ``package.module:name``.

    Raises:
        UsageError: for anything else.
    """
    if isinstance(distortions, str) or not isinstance(distortions, Sequence):
        raise UsageError("distortions must be a list")
    found: list[Named] = []
    seen: Counter[str] = Counter()
    for given in distortions:
        distortion: Any = foreign.load(given, "a distortion") if isinstance(given, str) else given
        called = given if isinstance(given, str) else repr(given)
        if isinstance(distortion, type) and issubclass(distortion, Distortion):
            try:
                distortion = distortion()
            except TypeError as error:
                raise UsageError(f"{called} cannot be made without arguments, so name an instance: {error}") from None
        if not isinstance(distortion, Distortion):
            raise UsageError(
                f"{called} is no distortion: it must be derived from twofold.Distortion, or an instance of that"
            )
        name = type(distortion).__name__
        found.append(Named(distortion, name, seen[name]))
        seen[name] += 1
    return tuple(found)
