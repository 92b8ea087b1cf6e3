"""The settings that all methods have, but for those of the augmentation: their defaults, bounds and rules."""

from dataclasses import dataclass, field
from typing import Any, Literal

from twofold.recipe import rules
from twofold.recipe.augment import Augment
from twofold.recipe.settings import setting


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a run, with nothing left open but how it is carried out."""

    data: str = setting(
        "digits",
        "the images: a folder, a .csv file that names them, tar shards, Parquet files, an address of these, .npz, "
        ".npy, digits, torchvision:NAME or hf:owner/name",
        operational=True,
    )
    method: str = setting("simclr", "the method: a name that twofold methods lists, or package.module:Class")
    backbone: str = setting(
        "resnet18", "the network that learns: any timm model, or package.module:function that builds a torch module"
    )
    backbone_arguments: dict = setting(  # type: ignore[type-arg]  # noqa: RUF009
        {}, "further arguments for timm.create_model, or for the function that builds the backbone: pairs of a name "
        "and a value, each value written as in TOML",
    )  # fmt: skip
    weights: str = setting(
        "", "where the backbone starts: published (the weights that timm has for it), a file of weights, or the "
        "directory of a run; empty: random weights",
    )  # fmt: skip
    neighbours: int = setting(
        None, "how many nearest neighbours each image has, by its features under the starting weights; the second view "
        "shows a random one of them instead of the image; 0: it shows the image itself",
        low=0, auto=rules.neighbours,
    )  # fmt: skip
    image_size: int = setting(None, "side of a view in pixels", low=1, high=4096, auto=rules.natural_size)
    channels: int = setting(
        None, "number of channels of an image; where 3 is asked for, greyscale images become RGB, and all become 8-bit "
        "unless depth says otherwise", low=1, high=16, auto=rules.channels,
    )  # fmt: skip
    depth: Literal["uint8", "uint16", "float32"] = setting(
        None, "number type of the pixels; images of another type are rescaled to the range of this one",
        auto=rules.depth,
    )  # fmt: skip
    stem: Literal["default", "small"] = setting(
        None, "first layers of a ResNet; default: timm's, for photographs; small: a 3x3 convolution of stride 1 and no "
        "max-pooling, for small images", auto=rules.stem,
    )  # fmt: skip
    pool: Literal["default", "average"] = setting(
        "default", "what a vision transformer gives as its features; default: what timm takes, mostly the class token; "
        "average: the mean over the patches",
    )  # fmt: skip
    out: str = setting(None, "directory of the run; none: runs/DATA-METHOD", operational=True)
    epochs: int = setting(100, "how often the run passes over all images", low=1)
    batch_size: int = setting(
        None, "how many images one step takes, over all processes together; never more than there are images",
        low=2, auto=rules.batch_size,
    )  # fmt: skip
    accumulate: int = setting(
        1, "how many parts a step's batch is computed in, one after the other, to save memory; the gradient is the "
        "mean of theirs; every loss sees one part alone, so methods that compare images with each other need chunk "
        "instead",
        low=1,
    )  # fmt: skip
    chunk: int = setting(
        0, "how many images pass through the backbone at a time in each process, to save memory at the cost of one "
        "more forward pass; the loss sees the whole batch and its gradient is exact, but batch norms of the backbone "
        "see one chunk; 0: the whole batch at once", low=0,
    )  # fmt: skip
    seed: int = setting(
        0, "number that decides the first weights, the order of the images and the distortions", low=0, high=2**63 - 1
    )
    limit: int = setting(
        0, "use only a random sample of this many images, balanced over the classes where labels are known; 0: all",
        low=0,
    )  # fmt: skip
    optimizer: Literal["lars", "sgd", "adamw"] = setting("adamw", "lars is timm's, sgd and adamw are torch's")
    lr: float = setting(
        None, "learning rate for a batch of 256 images; the rate used is this in proportion to the batch", above=0,
        auto=rules.lr,
    )  # fmt: skip
    weight_decay: float = setting(
        None, "weight decay; biases and norms have none", low=0, high=1e3, auto=rules.weight_decay
    )
    weight_decay_end: float = setting(
        None, "weight decay at the end of the run, reached along a cosine", low=0, high=1e3, auto=rules.weight_decay_end
    )
    optimizer_momentum: float = setting(0.9, "momentum of LARS and SGD, or first beta of AdamW", low=0, high=0.99999)
    second_beta: float = setting(0.999, "second beta of AdamW", low=0, high=0.99999)
    lars_trust: float = setting(
        0.02, "LARS's trust coefficient: the rate of each weight tensor is multiplied by this, times the norm of the "
        "tensor over the norm of its gradient", above=0,
    )  # fmt: skip
    lars_clip: bool = setting(True, "whether LARS keeps every rate at or below the plain learning rate")
    bias_lr: float = setting(
        None, "learning rate of biases and norms for a batch of 256 images; lr is then that of all other weights",
        above=0, auto=rules.bias_lr,
    )  # fmt: skip
    warmup_epochs: float = setting(
        10.0, "epochs in which the learning rate rises linearly, before it falls along a cosine; at most a tenth of "
        "the run", low=0,
    )  # fmt: skip
    backbone_lr: float = setting(
        None, "learning rate of the backbone for a batch of 256 images; lr is then that of everything else", above=0,
        auto=rules.backbone_lr,
    )  # fmt: skip
    heads_first: float = setting(
        None, "epochs at the start of the run in which the backbone stays as it is and everything else learns", low=0,
        auto=rules.heads_first,
    )  # fmt: skip
    interpolate_weights: float = setting(
        None, "the weights of the backbone that a run gives are those that it started from plus this share of what "
        "learning has changed them by (WiSE-FT); 1: they are as they were learned", above=0, high=1,
        auto=rules.interpolate_weights,
    )  # fmt: skip
    keep_statistics: bool = setting(
        None, "whether batch norms of the backbone keep the mean and variance that they have instead of following the "
        "batches", auto=rules.keep_statistics,
    )  # fmt: skip
    layer_decay: float = setting(
        1.0, "learning rate of each layer of the backbone as a share of the next layer's; 1: all have the same",
        above=0, high=1,
    )  # fmt: skip
    freeze: int = setting(
        0, "how many layers of the backbone are not trained, counted from the input: the stem, then the stages or "
        "blocks; 0: all are trained", low=0,
    )  # fmt: skip
    grad_clip: float = setting(
        0.0, "largest norm that the gradient may have; a longer one is scaled down to it; 0: no clipping", low=0
    )
    clip_each: bool = setting(False, "whether the gradient of each parameter is clipped by itself, not all as one")
    precision: Literal["bf16", "fp32", "fp64"] = setting(
        None, "number format that the networks compute in; losses compute in fp32 or better", auto=rules.precision
    )
    mean: tuple[float, ...] = setting(
        None, "mean of each channel, subtracted from images with values from 0 to 1", auto=rules.mean
    )
    std: tuple[float, ...] = setting(
        None, "standard deviation of each channel, which images are divided by", above=0, auto=rules.std
    )
    resident: bool = setting(None, "whether all images are decoded once and kept in memory", auto=rules.resident)
    max_unreadable: float = setting(
        0.1, "largest share of the images that may be unreadable; with more the run stops", low=0, high=1
    )
    knn_every: int = setting(
        None, "epochs between two kNN scores, where images have labels; 0: no scores", low=0, auto=rules.knn_every
    )
    measure_every: int = setting(
        None, "steps between two looks at the embeddings for signs of collapse; 0: no looks", low=0,
        auto=rules.measure_every,
    )  # fmt: skip
    on_collapse: Literal["warn", "stop"] = setting(
        "warn", "what happens when signs of collapse are found; warn: the run says so once and goes on; stop: it ends "
        "with exit code 3, and again after each resume while they last; features worse than at the start are none",
        operational=True,
    )  # fmt: skip
    device: Literal["cpu", "cuda", "mps"] = setting(None, "where to compute; none: on a GPU if there is one",
                                                    operational=True)  # fmt: skip
    workers: int = setting(
        None, "how many processes decode large images; none: one for each core, at most 16", low=0, high=1024,
        operational=True,
    )  # fmt: skip
    shard: bool = setting(
        False, "whether every process keeps only its part of the weights, their gradients and the optimizer's state, "
        "for networks that are too large to be whole on each; for several processes (torchrun)",
        operational=True,
    )  # fmt: skip
    save_every: int = setting(
        None, "steps between two checkpoints; none: one every 5 minutes; the end of the run always has one", low=1,
        operational=True,
    )  # fmt: skip
    writers: str = setting(
        "", "where metrics are written besides metrics.jsonl: tensorboard, wandb, or both with a comma between them",
        operational=True,
    )  # fmt: skip
    augment: Augment = field(default_factory=Augment)
    options: Any = None
