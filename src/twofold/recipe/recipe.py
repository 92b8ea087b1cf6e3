"""A run's recipe: frozen dataclasses in Python, flat TOML on disk, the same flat names on the command line.

This module and what it imports stay free of torch, so that ``--help`` is there at once.
"""

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from twofold.errors import UsageError, did_you_mean
from twofold.recipe.settings import NESTED, check, convert, show, types_of


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What distorts an image into a view. Pairs give the first and the second view their own probability."""

    crop_scale: tuple[float, float] = (0.2, 1.0)
    """share of the image's area that a crop covers, lowest and highest"""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """width over height of a crop, lowest and highest"""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """filter that resizes a crop"""
    flip: float = 0.5
    """probability of a horizontal flip"""
    jitter: float = 0.8
    """probability of the colour jitter"""
    brightness: float = 0.4
    """brightness factor is drawn from 1 +- this"""
    contrast: float = 0.4
    """contrast factor is drawn from 1 +- this"""
    saturation: float = 0.4
    """saturation factor is drawn from 1 +- this"""
    hue: float = 0.1
    """hue is shifted by +- this share of the circle, at most 0.5"""
    grayscale: float = 0.2
    """probability of dropping the colours"""
    blur: tuple[float, float] = (0.0, 0.0)
    """probability of the Gaussian blur, first and second view"""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """width of the blur in pixels, lowest and highest"""
    solarize: tuple[float, float] = (0.0, 0.0)
    """probability of inverting the bright pixels, first and second view"""
    small_crops: int = 0
    """multi-crop: how many small views to add to the two full-size ones"""
    small_size: int = 0
    """side of the small views in pixels; 0: about three sevenths of the full size"""
    small_scale: tuple[float, float] = (0.05, 0.2)
    """share of the image's area that a small view covers, lowest and highest"""
    mask: tuple[float, float] = (0.0, 0.0)
    """share of the patches that are masked, first and second view; a vision transformer drops them and their work"""
    mask_shape: Literal["random", "block"] = "random"
    """masked patches lie anywhere, or in rectangles"""
    mask_fill: bool = False
    """paint masked patches in the mean colour instead: all that a convolutional backbone can do"""

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "grayscale", "blur", "solarize", "crop_scale", "small_scale", "mask"):
            check(self, name, 0, 1)
        for name in ("brightness", "contrast", "saturation"):
            check(self, name, 0, float("inf"))
        check(self, "hue", 0, 0.5)
        check(self, "small_crops", 0, 64)
        for name in ("crop_scale", "crop_ratio", "blur_sigma", "small_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UsageError(f"{name} needs two numbers above 0, lowest first, not {low:g} {high:g}")


def operational(default: Any) -> Any:
    """A field that changes how a run is carried out, not what it computes: it may differ when a run resumes."""
    return field(default=default, metadata={"operational": True})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a run. A zero, "auto" or empty value is chosen from the data and the machine, and recorded."""

    data: str = "digits"
    """folder, tar shards, Parquet, .npz, .npy, digits, torchvision:NAME or hf:owner/name"""
    method: str = "simclr"
    """what to learn by: see twofold methods"""
    backbone: str = "resnet18"
    """any timm model"""
    backbone_arguments: dict[str, Any] = field(default_factory=dict)
    """more arguments for timm.create_model, as NAME VALUE pairs, values as in TOML"""
    stem: Literal["auto", "default", "small"] = "auto"
    """first layers of a ResNet; small: 3x3, stride 1, no max-pool, as images of 64 pixels and under need"""
    pool: Literal["default", "average"] = "default"
    """a vision transformer's features: as timm has it (mostly the class token), or the average over patches"""
    out: str = operational("")
    """the run directory; empty: runs/DATA-METHOD"""
    epochs: int = 100
    """passes over the data"""
    batch_size: int = 256
    """images in a step, over all processes; never more than there are"""
    accumulate: int = 1
    """parts that a step's batch is computed in, to save memory; every loss sees one part"""
    seed: int = 0
    """decides the first weights, the order, the distortions"""
    image_size: int = 0
    """side of a view in pixels; 0: the images' own up to 64, else 224"""
    limit: int = 0
    """use the first so many images only; 0: all"""
    optimizer: Literal["lars", "sgd", "adamw"] = "lars"
    """timm's LARS, torch's SGD or AdamW"""
    lr: float = 0.3
    """learning rate for 256 images; it grows in proportion to the batch"""
    weight_decay: float = 1e-4
    """on weights; biases and norms are exempt"""
    optimizer_momentum: float = 0.9
    """momentum of LARS and SGD, first beta of AdamW"""
    warmup_epochs: float = 10
    """epochs of linear warm-up before the cosine, at most a tenth of the run"""
    grad_clip: float = 0.0
    """largest norm of the gradient; 0: no clipping"""
    precision: Literal["auto", "bf16", "fp32", "fp64"] = "auto"
    """of the networks; auto: bf16 where the device is good at it; losses stay in fp32 or better"""
    mean: tuple[float, ...] = ()
    """mean of each channel, images in 0 to 1; empty: measured on the data"""
    std: tuple[float, ...] = ()
    """standard deviation of each channel; empty: measured on the data"""
    resident: Literal["auto", "yes", "no"] = "auto"
    """decode all images once and keep them in memory; auto: if that takes 4 GiB or less"""
    max_unreadable: float = 0.1
    """share of unreadable images above which a run stops"""
    knn_every: int = 0
    """epochs between two kNN scores, if there are labels; 0: about twenty in a run; -1: never"""
    measure_every: int = 0
    """steps between two looks at the embeddings for collapse; 0: about a hundred in a run; -1: never"""
    on_collapse: Literal["warn", "stop"] = operational("warn")
    """when a look finds the run collapsed: say so once, or end it (again if it goes on), exit code 3"""
    device: Literal["auto", "cpu", "cuda", "mps"] = operational("auto")
    """where to compute"""
    workers: int = operational(-1)
    """processes that decode large images; -1: one a core, at most 16"""
    save_every: int = operational(0)
    """steps between two checkpoints; 0: every 5 minutes; always one at the end"""
    writers: str = operational("")
    """where else metrics go: tensorboard, wandb, both with a comma"""
    augment: Augment = Augment()
    options: Any = None
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """names of the settings that were given; the others may follow the data"""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 1e9),
            ("batch_size", 2, 1e9),
            ("accumulate", 1, 1e6),
            ("image_size", 0, 4096),
            ("limit", 0, 1e12),
            ("weight_decay", 0, 1e3),
            ("optimizer_momentum", 0, 0.99999),
            ("warmup_epochs", 0, 1e9),
            ("grad_clip", 0, 1e12),
            ("max_unreadable", 0, 1),
            ("knn_every", -1, 1e9),
            ("measure_every", -1, 1e9),
            ("workers", -1, 1024),
            ("save_every", 0, 1e12),
            ("seed", 0, 2**63 - 1),
        ):
            check(self, name, low, high)
        if not 0 < self.lr < float("inf"):
            raise UsageError(f"lr must be above 0 and finite, not {self.lr:g}")
        if not all(value > 0 for value in self.std):
            raise UsageError("std must be above 0 for every channel")


RANGES = {
    **dict.fromkeys(("temperature", "student_temperature", "teacher_temperature", "epsilon", "beta"), (1e-4, 1e4)),
    **dict.fromkeys(
        ("momentum", "teacher_momentum", "bank_momentum", "center_momentum", "freeze", "queue_from", "teacher_warmup"),
        (0, 1),
    ),
    **dict.fromkeys(("tiles", "dropped"), (0, 1)),
    **dict.fromkeys(("projector", "predictor", "classifier", "predictor_hidden"), (1, 1e6)),
    **dict.fromkeys(("queue", "memory", "negatives", "iterations", "noise"), (0, 1e9)),
    **dict.fromkeys(("key_groups", "blocks", "decoder_depth"), (1, 1e6)),
    "prototypes": (2, 1e7),
    "permutations": (2, 10_000),
    "decoder_width": (32, 1e5),
}
"""Of methods' options: a name means the same in all of them."""


def make(method: str = "simclr", **settings: Any) -> Recipe:
    """The recipe of one method: its defaults, changed by flat settings (`lr=0.1, temperature=0.5, blur=(1, 0.1)`).

    Raises:
        UsageError: for a name that is no setting of this method (with the nearest one) or a value that does not fit.
    """
    from twofold.methods import spec

    declared = spec(method)
    given = frozenset(key.replace("-", "_") for key in settings) - {"method"}
    settings = {**declared.recipe, **settings, "method": declared.name}
    groups: dict[type, dict[str, Any]] = {Recipe: {}, Augment: {}, declared.options: {}}
    kinds = {key: (owner, kind) for owner in groups for key, kind in types_of(owner).items()}
    for name, value in settings.items():
        key = name.replace("-", "_")
        if key not in kinds:
            raise UsageError(f"{declared.name} has no setting {name!r}{did_you_mean(key, kinds)}")
        owner, kind = kinds[key]
        groups[owner][key] = convert(value, kind, key)
    options = declared.options(**groups[declared.options])
    for name, (low, high) in RANGES.items():
        if hasattr(options, name):
            check(options, name, low, high)
    return Recipe(**groups[Recipe], augment=Augment(**groups[Augment]), options=options, given=given)


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe as flat names and values, in the order of the documentation."""
    flat = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name not in NESTED}
    return flat | dataclasses.asdict(recipe.augment) | dataclasses.asdict(recipe.options)


def replace(recipe: Recipe, **settings: Any) -> Recipe:
    """A copy with some settings, by their flat names, changed."""
    return dataclasses.replace(make(**{**settings_of(recipe), **settings}), given=recipe.given | settings.keys())


def difference(old: Recipe, new: Recipe) -> list[str]:
    """One ``name: old -> new`` for every setting that changes what a run computes. What is left to be chosen agrees."""
    before, after = settings_of(old), settings_of(new)
    changes = []
    for name in {**before, **after}:
        a, b = before.get(name), after.get(name)
        automatic = (name in AUTOMATIC and b == AUTOMATIC[name]) or (name in FOLLOWING and name not in new.given)
        if a != b and name not in OPERATIONAL and not automatic:
            changes.append(f"{name}: {show(a)} -> {show(b)}")
    return changes


OPERATIONAL = {f.name for f in fields(Recipe) if f.metadata.get("operational")} | {"data"}
"""Settings that may differ when a run goes on."""

AUTOMATIC = {
    "stem": "auto",
    "image_size": 0,
    "precision": "auto",
    "mean": (),
    "std": (),
    "resident": "auto",
    "knn_every": 0,
    "measure_every": 0,
    "small_size": 0,
}
"""Settings that are chosen for the user when they have this value."""

FOLLOWING = ("queue", "negatives", "prototypes", "momentum")
"""Methods' options that follow the numbers of images and steps, when they are not given."""
