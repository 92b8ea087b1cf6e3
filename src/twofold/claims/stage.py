"""What every claim is measured on: some images, a tiny backbone, a plain loop, a probe."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import timm
import torch
from torch import Tensor, nn

import twofold
from twofold import probes, rng, schedule
from twofold.data.opening import DataLike, open_data
from twofold.encoding.crops import central_crops
from twofold.errors import UsageError
from twofold.methods.base import Method, Output
from twofold.nets.backbone import evaluating
from twofold.nets.normalize import Normalize

DIGITS = "digits"
IMAGES = 3000
"""of data that are given, at most so many are used; a third of them is held out"""
LARGEST = 32
"""side in pixels that larger images are shrunk to"""
PLAIN = dict(crop_scale=(0.4, 1.0), flip=0.0, saturation=0.0, hue=0.0, grayscale=0.0)
"""How digits are distorted: one mirrored is no digit, and they have no colours."""
COLOURED = dict(crop_scale=(0.2, 1.0))
WIDTH = 16
"""of the tiny network's first convolution; its features are four times as many"""
FEATURES = 4 * WIDTH
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

T = TypeVar("T")

Settings = dict[str, Any]
"""Options of a method, or of the distortions, by name."""


class Stage:
    """Images, cut anew for each seed into a part to learn from and a part to test on, and what claims do with them.

    ``images`` and ``labels`` are what is learned from, ``test_images`` and ``test_labels`` the held-out third, uint8
    [n, 3, S, S] and int64 [n]. ``length``: what the steps of every training are multiplied by. ``steps``: how many
    there are instead, whatever a claim asks for. ``trained``: the settings of every method that was trained.
    """

    def __init__(self, data: DataLike = DIGITS, seed: int = 0, length: int = 1, steps: int | None = None) -> None:
        self.plain = isinstance(data, str) and data == DIGITS
        self.seed, self.length, self.override = seed, length, steps
        images, labels = pooled(data)
        order = torch.randperm(len(images), generator=rng.generator(seed, "held out"))
        held = len(images) // 3
        self.images, self.labels = images[order[held:]], labels[order[held:]]
        self.test_images, self.test_labels = images[order[:held]], labels[order[:held]]
        self.size = images.shape[-1]
        self.trained: dict[str, Settings] = {}
        self.asked: WeakKeyDictionary[Method, Settings] = WeakKeyDictionary()

    @cached_property
    def augment(self) -> Settings:
        return dict(PLAIN if self.plain else COLOURED)

    def views(self, **settings: Any) -> twofold.Views:
        """What distorts the images, some settings changed."""
        return twofold.Views(self.size, mean=MEAN, std=STD, seed=self.seed, **{**self.augment, **settings})

    def method(self, name: str, backbone: str | nn.Module | None = None, **settings: Any) -> Method:
        """A method on the tiny backbone, or another one; its first weights are a function of the seed."""
        own = self.backbone() if backbone is None else backbone
        length, seed = len(self.images), self.seed
        made = twofold.create_method(name, own, self.size, images=length, mean=MEAN, std=STD, seed=seed, **settings)
        self.asked[made] = {"method": name, **settings}
        return made

    def projected(self, method: Method) -> nn.Module:
        """A method's backbone and projector, one after the other."""
        return nn.Sequential(method.backbone, getattr(method, "projector", nn.Identity()))

    def backbone(self, norm: bool = True) -> nn.Module:
        """The tiny network with its first weights, a function of the seed."""
        return self.first("init", lambda: convolutions(norm, stride=1 if self.size <= 16 else 2))

    def first(self, what: str, make: Callable[[], T]) -> T:
        """What ``make`` makes, its first weights a function of the seed and of what they are for."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.fold(self.seed, what))
            return make()

    @property
    def patch(self) -> int:
        """Side in pixels of the transformer's patches, 4 x 4 of them in an image of digits' size."""
        return max(1, self.size // 4 if self.size <= 16 else self.size // 8)

    def transformer(self) -> nn.Module:
        """A small transformer of three blocks with its first weights, a function of the seed."""
        size: Settings = dict(img_size=self.size, patch_size=self.patch, embed_dim=64, depth=3, num_heads=2)
        name, tokens = "vit_tiny_patch16_224", dict[str, Any](num_classes=0, global_pool="avg", fc_norm=False)
        return self.first("init", lambda: timm.create_model(name, **tokens, **size))

    def train(
        self,
        arm: str,
        method: Method,
        steps: int,
        batch: int = 128,
        lr: float = 2e-3,
        sgd: bool = False,
        watch: Callable[[int, Output], None] | None = None,
        views: Settings | None = None,
    ) -> Method:
        """Train in a plain loop over epochs: AdamW with decay 0.01, or SGD; a tenth of warm-up, then a cosine.

        ``watch``: told the number of each step and what the
        method made of its batch, before the weights move. ``views``: settings of the distortions that differ. The
        method is in eval mode afterwards.
        """
        steps = self.override or steps * self.length
        see, count = self.views(**(views or {})), len(self.images)
        weights = list(method.parameters())
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.01)
        if sgd:
            optimizer = torch.optim.SGD(weights, lr=lr, momentum=0.9)
        recipe = self.asked.get(method, {"method": type(method).__name__})
        self.trained[arm] = {**recipe, "steps": steps, "batch": batch, "lr": lr, "sgd": sgd, **(views or {})}
        stream = order(self.seed, count, steps * batch).split(batch)
        for step, chosen in enumerate(stream):
            for group in optimizer.param_groups:
                group["lr"] = schedule.warmup_cosine(lr, step, steps, math.ceil(steps / 10))
            output = method(see(self.images[chosen], index=chosen), progress=step / steps)
            if watch is not None:
                watch(step, output)
            output.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            method.after_step(step / steps)
        return method.eval()

    def features(self, network: nn.Module, test: bool) -> Tensor:
        """What a network, images to rows, makes of whole images, in eval mode."""
        images = self.test_images if test else self.images
        whole = Normalize(MEAN, STD)
        with torch.no_grad(), evaluating(network):
            return torch.cat([network(whole(part)) for part in images.split(512)])

    def embeddings(self, method: Method) -> Tensor:
        """Of the held-out images, after the projector of a method that has one."""
        return self.features(self.projected(method), test=True)

    def knn(self, network: nn.Module) -> float:
        """Accuracy of nearest neighbours among the training images, in percent of the held-out ones."""
        return 100 * probes.knn(*self.split(network)).value

    def few(self, network: nn.Module, labels: int = 5) -> float:
        """Accuracy in percent of a linear head from so many labels a class, the mean over ten draws of which."""
        return 100 * probes.few_labels(*self.split(network), labels_per_class=(labels,), seed=self.seed)[labels].value

    def linear(self, network: nn.Module) -> float:
        """Accuracy in percent of a linear head from all labels."""
        return 100 * probes.linear(*self.split(network), strength=10.0).value

    def split(self, network: nn.Module) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Training features and labels, held-out features and labels: what `twofold.probes` take."""
        train, test = (self.features(network, part) for part in (False, True))
        return train, self.labels, test, self.test_labels


def order(seed: int, count: int, length: int) -> Tensor:
    """Numbers of images, ``length`` in all: every epoch has each once, in an order of its own."""
    epochs = math.ceil(length / count)
    every = [torch.randperm(count, generator=rng.generator(seed, "order", epoch)) for epoch in range(epochs)]
    return torch.cat(every)[:length]


def convolutions(norm: bool = True, stride: int = 1, width: int = WIDTH) -> nn.Module:
    """Four convolutions, each with batch norm and ReLU, then the mean over places: images to 4 * width features."""
    layers: list[nn.Module] = []
    plan = ((3, width, stride), (width, 2 * width, 2), (2 * width, 2 * width, 1), (2 * width, 4 * width, 2))
    for before, after, step in plan:
        layers += [nn.Conv2d(before, after, 3, step, 1, bias=not norm)]
        layers += [nn.BatchNorm2d(after)] if norm else []
        layers += [nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def pooled(data: DataLike) -> tuple[Tensor, Tensor]:
    """Training images of DATA as uint8 [n, 3, S, S] and their labels.

    Raises:
        UsageError: if they have no labels.
    """
    source = open_data(data).limited(IMAGES).of_kind(3, "uint8").train
    if source.labels is None:
        raise UsageError("the claims need images with labels, which say what features are worth")
    size = min(LARGEST, min(source.image(0).shape[1:]))
    found = list(central_crops(source, size))
    numbers = [number for part, _ in found for number in part]
    labels = torch.tensor([int(source.labels[number]) for number in numbers])
    return torch.cat([images for _, images in found]), labels
