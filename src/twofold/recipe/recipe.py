"""A run's recipe: what was asked for, and what that comes to.

`Wanted` holds the settings that somebody gave, checked, under one flat name each in Python, on the command line and in
TOML files. `resolve.resolve` turns it into a `Recipe`, in which nothing is left open.
"""

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from twofold.errors import UsageError, did_you_mean
from twofold.recipe import rules
from twofold.recipe.augment import Augment
from twofold.recipe.declared import Spec, spec
from twofold.recipe.foreign import named_in, permit
from twofold.recipe.settings import Declaration, convert, declarations, defaults_of, setting, types_of


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a run, with nothing left open but how it is carried out."""

    data: str = setting(
        "digits",
        "folder, tar shards, Parquet, an address of these, .npz, .npy, digits, torchvision:NAME or hf:owner/name",
        operational=True,
    )
    method: str = setting("simclr", "what to learn by: see twofold methods, or package.module:Class")
    backbone: str = setting("resnet18", "any timm model, or package.module:function that builds a module")
    backbone_arguments: dict = setting(  # type: ignore[type-arg]  # noqa: RUF009
        {}, "more arguments for timm.create_model or for the function, as NAME VALUE pairs, values as in TOML"
    )
    weights: str = setting(
        "", "where the backbone starts: published (timm's weights for it), a file of weights, a run; none: at random"
    )
    neighbours: int = setting(
        None, "the second view shows one of the image's so many nearest neighbours, by the starting weights; 0: itself",
        low=0, auto=rules.neighbours,
    )  # fmt: skip
    image_size: int = setting(None, "side of a view in pixels", low=1, high=4096, auto=rules.natural_size)
    channels: int = setting(
        None, "of an image; 3 makes RGB of greyscale, 8-bit unless depth says more", low=1, high=16, auto=rules.channels
    )
    depth: Literal["uint8", "uint16", "float32"] = setting(
        None, "numbers that pixels are; whole numbers keep their place in the range when converted", auto=rules.depth
    )
    stem: Literal["default", "small"] = setting(
        None, "first layers of a ResNet; small: a 3x3 convolution of stride 1, no max-pool", auto=rules.stem
    )
    pool: Literal["default", "average"] = setting(
        "default", "a vision transformer's features: as timm has it (mostly the class token), or the mean over patches"
    )
    out: str = setting(None, "the run directory; none: runs/DATA-METHOD", operational=True)
    epochs: int = setting(100, "passes over the data", low=1)
    batch_size: int = setting(
        None, "images in a step, over all processes; never more than there are", low=2, auto=rules.batch_size
    )
    accumulate: int = setting(
        1, "parts that a step's batch is computed in, to save memory, the gradient being their mean; every loss sees "
        "one part alone: where images are compared with each other use chunk", low=1,
    )  # fmt: skip
    chunk: int = setting(
        0, "images that pass the backbone at once in each process, to save memory; the loss sees the whole batch, with "
        "its exact gradient, for one more forward pass; batch norms of the backbone see a chunk; 0: all", low=0,
    )  # fmt: skip
    seed: int = setting(0, "decides the first weights, the order, the distortions", low=0, high=2**63 - 1)
    limit: int = setting(0, "use a random sample of so many images only, of each class alike; 0: all", low=0)
    optimizer: Literal["lars", "sgd", "adamw"] = setting("adamw", "timm's LARS, torch's SGD or AdamW")
    lr: float = setting(
        None, "learning rate for 256 images; it grows in proportion to the batch", above=0, auto=rules.lr
    )
    weight_decay: float = setting(
        None, "on weights; biases and norms are exempt", low=0, high=1e3, auto=rules.weight_decay
    )
    weight_decay_end: float = setting(
        None, "weight decay at the end of the run, reached on a cosine", low=0, high=1e3, auto=rules.weight_decay_end
    )
    optimizer_momentum: float = setting(0.9, "momentum of LARS and SGD, first beta of AdamW", low=0, high=0.99999)
    second_beta: float = setting(0.999, "second beta of AdamW", low=0, high=0.99999)
    lars_trust: float = setting(0.02, "LARS's trust coefficient, times the weight's norm over the gradient's", above=0)
    lars_clip: bool = setting(True, "LARS never goes above the plain learning rate")
    bias_lr: float = setting(
        None, "learning rate of biases and norms, where that of weights is lr", above=0, auto=rules.bias_lr
    )
    warmup_epochs: float = setting(
        10.0, "epochs of linear warm-up before the cosine, at most a tenth of the run", low=0
    )
    backbone_lr: float = setting(
        None, "learning rate of the backbone, for 256 images; lr is then that of everything else", above=0,
        auto=rules.backbone_lr,
    )  # fmt: skip
    heads_first: float = setting(
        None, "epochs at the start in which the backbone stays and everything else learns", low=0,
        auto=rules.heads_first,
    )  # fmt: skip
    keep_statistics: bool = setting(
        None, "batch norms of the backbone go on with the mean and variance that they have", auto=rules.keep_statistics
    )
    layer_decay: float = setting(
        1.0, "rate of each layer of the backbone as a share of that of the layer after it", above=0, high=1
    )
    freeze: int = setting(
        0, "layers of the backbone that stay as they are, counted from the images: the stem, then stages or blocks",
        low=0,
    )  # fmt: skip
    grad_clip: float = setting(0.0, "largest norm of the gradient; 0: no clipping", low=0)
    clip_each: bool = setting(False, "clip the gradient of each parameter by itself, not that of all together")
    precision: Literal["bf16", "fp32", "fp64"] = setting(
        None, "of the networks; losses stay in fp32 or better", auto=rules.precision
    )
    mean: tuple[float, ...] = setting(None, "mean of each channel, images in 0 to 1", auto=rules.mean)
    std: tuple[float, ...] = setting(None, "standard deviation of each channel", above=0, auto=rules.std)
    resident: bool = setting(None, "decode all images once and keep them in memory", auto=rules.resident)
    max_unreadable: float = setting(0.1, "share of unreadable images above which a run stops", low=0, high=1)
    knn_every: int = setting(
        None, "epochs between two kNN scores, if there are labels; 0: never", low=0, auto=rules.knn_every
    )
    measure_every: int = setting(
        None, "steps between two looks at the embeddings for collapse; 0: never", low=0, auto=rules.measure_every
    )
    on_collapse: Literal["warn", "stop"] = setting(
        "warn",
        "when the doctor finds something wrong: say so once, or end the run (again if it goes on), exit code 3",
        operational=True,
    )
    device: Literal["cpu", "cuda", "mps"] = setting(None, "where to compute; none: a GPU if there is one",
                                                    operational=True)  # fmt: skip
    workers: int = setting(
        None, "processes that decode large images; none: one a core, at most 16", low=0, high=1024, operational=True
    )
    save_every: int = setting(
        None, "steps between two checkpoints; none: every 5 minutes; always one at the end", low=1, operational=True
    )
    writers: str = setting("", "where else metrics go: tensorboard, wandb, both with a comma", operational=True)
    augment: Augment = field(default_factory=Augment)
    options: Any = None


RATES = ("lr", "backbone_lr", "weight_decay")
"""Settings whose values mean something for one optimizer only."""


@dataclass(frozen=True)
class Wanted:
    """A method and the settings that somebody gave, by their flat names; all others are to be chosen."""

    method: str
    given: dict[str, Any]

    @property
    def spec(self) -> Spec:
        return spec(self.method)

    def get(self, name: str) -> Any:
        """A setting as it was given, else its default for this method; None if it is to be chosen."""
        if name == "method":
            return self.method
        defaults = {**general_defaults(), **defaults_of(self.spec.options), **self.fitting(self.spec.recipe)}
        return self.given.get(name, defaults[name])

    def fitting(self, defaults: dict[str, Any]) -> dict[str, Any]:
        """Of a method's own defaults those that hold here: its rates are for its own optimizer and no other one."""
        own = {**general_defaults(), **self.spec.recipe}["optimizer"]
        if self.given.get("optimizer", own) == own:
            return defaults
        return {name: value for name, value in defaults.items() if name not in RATES}

    def but(self, **settings: Any) -> "Wanted":
        """The same with some settings given anew; None takes one back."""
        return wanted(**{"method": self.method, **self.given, **settings})


GROUPS = (Recipe, Augment)


def general_defaults() -> dict[str, Any]:
    """Defaults of the settings that all methods have."""
    return {name: value for owner in GROUPS for name, value in defaults_of(owner).items()}


def known(declared: Spec) -> dict[str, tuple[Declaration, Any]]:
    """Every setting that a method has, with its type."""
    return {
        name: (declaration, types_of(owner)[name])
        for owner in (*GROUPS, declared.options)
        for name, declaration in declarations(owner).items()
    }


def check_declaration(declared: Spec) -> None:
    """
    Raises:
        UsageError: if a method's own defaults hold what does not fit, or an option has another setting's name.
    """
    common = {name for owner in GROUPS for name in declarations(owner)}
    for name in declarations(declared.options):
        if name in common:
            raise UsageError(f"{declared.module}.Options.{name} is called as a setting that all methods have")
    settable = known(declared)
    for table, values in (("RECIPE", declared.recipe), ("LARGE", declared.large)):
        for name, value in values.items():
            if name not in settable:
                raise UsageError(
                    f"{declared.module}.{table}: there is no setting {name!r}{did_you_mean(name, settable)}"
                )
            declaration, kind = settable[name]
            declaration.check(name, convert(value, kind, f"{declared.module}.{table}: {name}"))


def wanted(method: str = "simclr", **settings: Any) -> Wanted:
    """The wish for a run: flat settings (`lr=0.1, temperature=0.5, blur=(1, 0.1)`), checked. None: not given.

    Raises:
        UsageError: for a name that is no setting of this method (with the nearest one) or a value that does not fit.
    """
    permit(named_in({**settings, "method": method}))
    declared = spec(method)
    check_declaration(declared)
    settable = known(declared)
    given = {}
    for name, value in settings.items():
        key = name.replace("-", "_")
        if key not in settable:
            raise UsageError(f"{declared.name} has no setting {name!r}{did_you_mean(key, settable)}")
        if value is not None:
            declaration, kind = settable[key]
            given[key] = convert(value, kind, key)
            declaration.check(key, given[key])
    return Wanted(declared.name, given)


def assembled(values: dict[str, Any], options: type) -> Recipe:
    """The recipe of a value for every setting by its flat name; ``options``: the class of the method's own."""
    groups = {owner: {name: values[name] for name in declarations(owner)} for owner in (*GROUPS, options)}
    return Recipe(**groups[Recipe], augment=Augment(**groups[Augment]), options=options(**groups[options]))


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe as flat names and values, in the order of the documentation."""
    flat = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name in declarations(Recipe)}
    return flat | dataclasses.asdict(recipe.augment) | dataclasses.asdict(recipe.options)


def complete(settings: dict[str, Any]) -> Recipe:
    """The recipe of flat settings that leave nothing open, as a run has recorded them."""
    request = wanted(**settings)
    options = request.spec.real_options()
    return assembled({**general_defaults(), **defaults_of(options), **request.given, "method": request.method}, options)


def replace(recipe: Recipe, **settings: Any) -> Recipe:
    """A copy with some settings, by their flat names, changed."""
    return complete({**settings_of(recipe), **settings})
