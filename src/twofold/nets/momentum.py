"""What follows the trained network slowly, without a gradient."""

import copy
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from twofold import dist, schedule
from twofold.batch import Chance, View
from twofold.nets.chunks import Chunked, in_chunks
from twofold.nets.synchronised import in_groups
from twofold.nets.vit import encode


class MomentumEncoder(nn.Module, Chunked):
    """A moving average of a backbone and what comes after it: a copy of them that only `update` changes.

    Norm statistics are its own, from the batches that pass through it, as in the published codes.
    """

    def __init__(self, momentum: tuple[float, float], *online: nn.Module) -> None:
        """``momentum``: at the first step and at the last, between them on a cosine."""
        super().__init__()
        self.momentum, self.online = momentum, online  # a tuple: what is followed is no part of this module
        self.stages = nn.ModuleList(copy.deepcopy(module) for module in online).requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Norms follow ``mode`` unless they keep their statistics; nothing is dropped out of a target."""
        super().train(mode)
        for module in self.modules():
            if not isinstance(module, nn.modules.batchnorm._NormBase):
                module.training = False
        return self

    @torch.no_grad()
    def forward(self, view: View) -> Tensor:
        """The backbone's features of a view through the stages after it."""
        rows = self.encode(view)
        for head in self.stages[1:]:
            rows = head(rows)
        return rows

    @torch.no_grad()
    def encode(self, view: View) -> Tensor:
        """The backbone's features of a view."""
        return in_chunks(lambda images, keep: encode(self.stages[0], View(images, keep)), view, self.chunk)

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """weights <- m * weights + (1 - m) * online weights, m the momentum at this share of the run."""
        mine, theirs = self.weights()
        torch._foreach_lerp_(mine, theirs, 1 - schedule.cosine(*self.momentum, progress))

    def weights(self) -> tuple[list[Tensor], list[Tensor]]:
        """Its own weights, and those that they follow, in the same order."""
        return list(self.stages.parameters()), [p for module in self.online for p in module.parameters()]

    def horizon(self, progress: float) -> float:
        """Steps that it looks back: 1 / (1 - m)."""
        return 1 / max(1e-12, 1 - schedule.cosine(*self.momentum, progress))


@torch.no_grad()
def shuffled(network: Callable[[View], Tensor], view: View, chance: Chance, name: str, groups: int) -> Tensor:
    """What a network makes of a view of the whole batch, over all processes, in the batch's order: [batch, width].

    The images are shuffled over the processes and pass in ``groups`` (over all of them), each with batch-norm
    statistics of its own. A query and its key then share no statistics that would tell them from the rest
    (arXiv 1911.05722 section 3.3). Several processes have the groups of one where groups can be cut evenly into
    processes, or the other way round, and the batch into groups.
    """
    images, keep = dist.gather(view.images), None if view.ids_keep is None else dist.gather(view.ids_keep)
    order = chance.shared(name, len(images)).argsort()
    mine, world = order.chunk(dist.world())[dist.rank()], dist.world()
    groups = max(1, min(groups, len(images) // 2))
    passes, together = (1, world // groups) if world % groups == 0 else (max(1, groups // world), 1)
    with in_groups(together):
        parts = [View(images[part], None if keep is None else keep[part]) for part in mine.tensor_split(passes)]
        rows = torch.cat([network(part) for part in parts])
    return dist.gather(rows)[order.argsort()]
