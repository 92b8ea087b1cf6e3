"""A run that is open: everything that the loop works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from twofold.data.loader import Streamed
from twofold.data.plan import Plan
from twofold.data.resident import Resident
from twofold.data.sources import Source
from twofold.methods.base import Method
from twofold.nets.backbone import BackboneSpec
from twofold.recipe import toml
from twofold.recipe.general import Recipe
from twofold.run import Run
from twofold.schedule import cosine, warmup_cosine
from twofold.training import checkpoint, sharding
from twofold.training.prepare import Preparation


@dataclass
class OpenRun:
    """What the loop works on.

    ``source`` has the images that can be read, as far as that is known; ``listed`` says how many there are with those
    that cannot, and the fingerprint of all. ``main``: whether this process is the one that writes.
    """

    run: Run
    settings: Recipe
    spec: BackboneSpec
    images: Resident | Streamed
    source: Source
    listed: dict[str, Any]
    plan: Plan
    method: Method
    prepare: Preparation
    device: torch.device
    start: int = 0
    seconds: float = 0.0
    main: bool = True
    alarm: dict[str, float] = field(default_factory=dict)  # see `Inspection.alarm`
    optimizer: torch.optim.Optimizer = field(init=False)  # made when the weights lie where they are to learn
    twin: Method = field(init=False)  # see `whole`

    @property
    def steps(self) -> int:
        return self.settings.epochs * self.plan.steps_per_epoch

    def rates(self, step: int) -> tuple[float, float]:
        """The learning rates of the heads and of the backbone, whose course begins when the heads have had theirs.

        Each warms up, then falls on a cosine to the end of the run.
        """
        s, epoch = self.settings, self.plan.steps_per_epoch
        scale, warmup = self.plan.batch / 256, round(min(s.warmup_epochs, s.epochs / 10) * epoch)
        alone = min(round(s.heads_first * epoch), self.steps)
        heads = warmup_cosine(s.lr * scale, step, self.steps, warmup)
        if step < alone:
            return heads, 0.0
        return heads, warmup_cosine(s.backbone_lr * scale, step - alone, self.steps - alone, warmup)

    def weight_decay(self, step: int) -> float:
        """Of a step: from its first value to its last on a cosine."""
        s = self.settings
        last = s.weight_decay if s.weight_decay_end is None else s.weight_decay_end
        return cosine(s.weight_decay, last, step / self.steps)

    @property
    def collapsed_loss(self) -> float:
        return self.method.collapsed_loss(self.plan.batch // self.settings.accumulate)

    def identity(self) -> dict[str, Any]:
        """What a run must find again when it goes on."""
        return {"images": len(self.images), "fingerprint": self.source.fingerprint()}

    @contextmanager
    def whole(self) -> Iterator[Method]:
        """Inside the block, what the first process measures and exports: the method with whole weights.

        All processes must enter it; nothing is copied where weights are whole anyway.
        """
        with sharding.whole(self.method, self.twin):
            yield self.twin

    def save(self, step: int, seconds: float) -> None:
        """Write a checkpoint of ``step`` steps done in so many seconds; all processes must call this."""
        recipe = toml.dumps(self.settings)
        data = self.identity() | {"listed": self.listed}
        checkpoint.save(self.run.path, self.method, self.optimizer, step, seconds, data, recipe)
