"""Rules by which settings that were left open are chosen: each a function of `Facts`, whose docstring is its help."""

import math
from typing import Any, Protocol

from twofold.recipe.declared import spec

SMALL = 64
"""the largest side in pixels of images whose views have every size, not one in whole patches"""
LARGE = 128
"""side of a view in pixels from which methods' defaults are those for photographs"""
LOOKS = 100
"""at the embeddings, in a run"""
STEPS = 1000
"""that a run should have: batches are smaller where it would have fewer"""
BATCHES = (64, 256)
"""the smallest and the largest batch that is chosen"""
RATES = {"adamw": 2e-3, "lars": 0.3, "sgd": 0.1}
"""the learning rates for 256 images, by the optimizer"""
DECAYS = {"adamw": 0.01, "lars": 1e-4, "sgd": 1e-4}
"""the weight decays, by the optimizer"""


class Measured(Protocol):
    """What has to be measured on the images and the machine; asked for only where a rule needs it."""

    @property
    def natural_size(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def depth(self) -> str: ...

    @property
    def grey(self) -> bool: ...

    @property
    def mirrored_alike(self) -> bool: ...

    @property
    def interpolation(self) -> str: ...

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]: ...

    def fits_in_memory(self, batch_size: int) -> bool: ...

    @property
    def precision(self) -> str: ...

    def stem(self, settings: dict[str, Any]) -> str: ...

    def patch_size(self, settings: dict[str, Any]) -> int: ...


class Facts:
    """What is known when the settings that were left open are chosen: the argument of every rule.

    Attributes:
        settings: the values of all settings by name; those that no rule has chosen yet are None. They are chosen in the
            order of their declaration, the method's own options last.
        images: how many images the data have; None where nobody has said, as in a training loop of your own.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        images: int | None,
        measured: Measured | None = None,
        steps: int | None = None,
    ) -> None:
        """
        Args:
            settings: the values of all settings by name.
            images: how many images the data have, if that is known.
            measured: what rules may ask of the images and the machine.
            steps: how many steps the run has, where they do not follow from images, batch size and epochs.
        """
        self.settings, self.images, self._measured, self._steps = settings, images, measured, steps

    @property
    def measured(self) -> Measured:
        """What has to be measured on the images or the machine, such as the images' size and their channels."""
        assert self._measured is not None, "a setting that depends on the images themselves was left open without them"
        return self._measured

    @property
    def photographs(self) -> bool:
        """Whether views have 128 pixels or more a side: methods then use the settings published for photographs."""
        return int(self.settings["image_size"]) >= LARGE

    @property
    def steps(self) -> int | None:
        """About how many steps the run has, and exactly if all images can be read; None where that is not known."""
        if self._steps is not None or self.images is None:
            return self._steps
        batch: int = min(self.settings["batch_size"], max(1, self.images))
        epochs: int = self.settings["epochs"]
        return epochs * max(1, self.images // batch)

    @property
    def recent_images(self) -> float:
        """A hundredth of all views of the run, at least one batch: about what an encoder sees until it has changed.

        It is infinite where nobody knows how long the run is.
        """
        if self.steps is None:
            return math.inf
        batch: int = self.settings["batch_size"]
        epochs: int = self.settings["epochs"]
        seen = epochs * (self.images or 0) if self._steps is None else self._steps * batch
        return max(batch, 2 * seen // 100)


def natural_size(facts: Facts) -> int:
    """that of the starting weights; else the longest side of the images, at most 224 and, above 64, in steps of 16"""
    return facts.measured.natural_size


def channels(facts: Facts) -> int:
    """as many as the images have"""
    return facts.measured.channels


def depth(facts: Facts) -> str:
    """that of the images; uint8 where channels 3 is asked for"""
    return facts.measured.depth


def colours(facts: Facts) -> str:
    """rgb for 3 channels of uint8 or uint16, but grey if all three channels are the same; else none"""
    if facts.settings["channels"] != 3 or facts.settings["depth"] == "float32":
        return "none"
    return "grey" if facts.measured.grey else "rgb"


FLIP = 0.5


def flip(facts: Facts) -> float:
    """0.5; 0 where mirrored images look unlike all others, as letters and digits do"""
    return FLIP if facts.measured.mirrored_alike else 0.0


def second_scale(facts: Facts) -> tuple[float, float]:
    """the same as crop_scale"""
    low, high = facts.settings["crop_scale"]
    return low, high


def stem(facts: Facts) -> str:
    """that of the starting weights; else small for ResNets on images of 40 pixels and under, default for all others"""
    return facts.measured.stem(facts.settings)


def precision(facts: Facts) -> str:
    """bf16 where the device multiplies it natively, else fp32"""
    return facts.measured.precision


def mean(facts: Facts) -> tuple[float, ...]:
    """that of the images that starting weights were learned on; else measured on the images"""
    return facts.measured.statistics[0]


def std(facts: Facts) -> tuple[float, ...]:
    """that of the images that starting weights were learned on; else measured on the images"""
    return facts.measured.statistics[1]


def interpolation(facts: Facts) -> str:
    """the one that the images of the starting weights were resized with; else bicubic"""
    return facts.measured.interpolation


def batch_size(facts: Facts) -> int:
    """256; 128 or 64 where the run would otherwise have fewer than 1,000 steps"""
    return fitting_batch(facts.images, facts.settings["epochs"])


def fitting_batch(images: int | None, epochs: int) -> int:
    """The largest of 256, 128 and 64 with which so many epochs of so many images are `STEPS` steps, else 64."""
    smallest, batch = BATCHES
    while images is not None and batch > smallest and epochs * max(1, images // batch) < STEPS:
        batch //= 2
    return batch


def lr(facts: Facts) -> float:
    """0.002 with AdamW, 0.3 with LARS, 0.1 with SGD"""
    return RATES[facts.settings["optimizer"]]


def weight_decay(facts: Facts) -> float:
    """0.01 with AdamW, else 0.0001"""
    return DECAYS[facts.settings["optimizer"]]


def weight_decay_end(facts: Facts) -> float:
    """the same as weight_decay"""
    decay: float = facts.settings["weight_decay"]
    return decay


def bias_lr(facts: Facts) -> float:
    """the same as lr"""
    rate: float = facts.settings["lr"]
    return rate


ADAPTED, CAREFUL = 0.4, 0.1
"""Of the learning rate, the backbone's share where it starts from weights: with neighbours beside images, without."""
NEIGHBOURS = 5
"""Of an image, one of which is shown beside it, where a run starts from weights."""


def backbone_lr(facts: Facts) -> float:
    """the same as lr; from starting weights 0.4 times lr with neighbours, 0.1 times lr without"""
    rate: float = facts.settings["lr"]
    if not facts.settings["weights"]:
        return rate
    return rate * (ADAPTED if facts.settings["neighbours"] else CAREFUL)


INTERPOLATED = 0.5
"""Of what a run that starts from weights has changed them by, the share that its backbone has."""


def interpolate_weights(facts: Facts) -> float:
    """0.5 from starting weights, else 1"""
    return INTERPOLATED if facts.settings["weights"] else 1.0


def keep_statistics(facts: Facts) -> bool:
    """true where the backbone starts from weights, else false"""
    return bool(facts.settings["weights"])


def neighbours(facts: Facts) -> int:
    """5 from starting weights, if the method's second view may show another image; else 0"""
    return NEIGHBOURS if facts.settings["weights"] and spec(facts.settings["method"]).pairs_images else 0


def heads_first(facts: Facts) -> float:
    """a tenth of the run where the backbone starts from weights, else 0"""
    return facts.settings["epochs"] / 10 if facts.settings["weights"] else 0.0


def resident(facts: Facts) -> bool:
    """true if all take 4 GiB or less and a batch of them, with its copy in float32, 1 GiB or less"""
    return facts.measured.fits_in_memory(facts.settings["batch_size"])


def knn_every(facts: Facts) -> int:
    """so many that a run has about twenty scores"""
    return max(1, int(facts.settings["epochs"]) // 20)


def measure_every(facts: Facts) -> int:
    """so many that a run has about a hundred looks"""
    return max(1, (facts.steps or 0) // LOOKS)


def small_size(facts: Facts) -> int:
    """about three sevenths of image_size, as 96 is of 224, in whole patches; 0 without small views"""
    if not facts.settings["small_crops"]:
        return 0
    return small_view(facts.settings["image_size"], facts.measured.patch_size(facts.settings))


def small_view(size: int, patch: int) -> int:
    """Three sevenths of the full size, as 96 is of 224, in whole patches; without patches a multiple of 4."""
    unit = patch if patch > 1 else 4
    return max(unit, round(size * 3 / 7 / unit) * unit)


TARGET, TEACHER = 1 / 20, 2 / 5
"""The largest share of a run that a momentum encoder looks back at first, 1 / (1 - momentum) steps; a teacher."""


def momentum_within(facts: Facts, start: float, end: float, share: float = TARGET) -> tuple[float, float]:
    """A momentum encoder's momentum, first and last, neither with a look back over more than a ``share`` of the run.

    A last one of 1, where the encoder comes to rest, stays.
    """
    slowest = 1.0 if facts.steps is None else max(0.0, round(1 - 1 / (share * facts.steps), 4))
    return min(start, slowest), end if end == 1 else min(end, slowest)


def prototypes_within(facts: Facts, count: int) -> int:
    """So many prototypes, at most a tenth of the images, at least two."""
    return count if facts.images is None else min(count, max(2, facts.images // 10))
