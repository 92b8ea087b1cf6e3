"""Batch norms whose statistics are those of the batch over all processes, on any kind of device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import dist

T = TypeVar("T", bound=nn.Module)
Norm = nn.modules.batchnorm._BatchNorm


class _Groups:
    """Where each ``together`` neighbouring processes pass batches of their own: which norms have passed any.

    ``began``: their running mean and variance before, and how many batches these were of.
    """

    def __init__(self, together: int) -> None:
        self.together = together
        self.began: dict[Any, tuple[Tensor, Tensor, int]] = {}


_groups: _Groups | None = None
"""None: all processes pass one batch together."""


class _OverProcesses(torch.autograd.Function):
    """x -> (x - mean) / sqrt(var + eps) * weight + bias, mean and variance of the rows of all processes.

    Also gives the mean, the biased variance and the number of values of each channel. The gradient of x needs the sums
    of all processes; that of weight and bias is of this process's rows, and is averaged with all others.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        wide = torch.promote_types(x.dtype, torch.float32)
        over = [axis for axis in range(x.ndim) if axis != 1]
        var, mean = torch.var_mean(x.to(wide), over, correction=0)
        own = torch.cat([mean, var, mean.new_tensor([x.numel() / x.shape[1]])])
        found = _of_neighbours(dist.gather(own[None]))
        means, variances, counts = found.split([len(mean), len(mean), 1], 1)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean).square())).sum(0) / count
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt(), count)
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(x, mean, var, weight, bias, eps=eps), mean, var, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, count = ctx.saved_tensors
        shape = [1, -1] + [1] * (x.ndim - 2)
        over = [axis for axis in range(x.ndim) if axis != 1]
        gradient = gradients[0].to(mean.dtype)
        normed = (x.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        own = torch.stack([gradient.sum(over), (gradient * normed).sum(over)])
        shift, slope = (dist.total(own) / count).view(2, *shape)
        by = scale if weight is None else scale * weight
        of_x = ((gradient - shift - normed * slope) * by.view(shape)).to(x.dtype)
        return of_x, None if weight is None else own[1], None if weight is None else own[0], None


def _of_neighbours(rows: Tensor) -> Tensor:
    """Of one row a process those of the processes that pass one batch with this one."""
    together = dist.world() if _groups is None else _groups.together
    mine: Tensor = rows.split(together)[dist.rank() // together]
    return mine


class _Synchronised(nn.Module):
    """A batch norm that in training takes its statistics over all processes; what follows in its class stays."""

    def forward(self, x: Tensor) -> Tensor:
        norm: Any = self
        if not (norm.training and dist.world() > 1):
            plain: Tensor = super().forward(x)
            return plain
        if _groups and norm.track_running_stats and norm.momentum is not None and norm not in _groups.began:
            before = norm.running_mean.clone(), norm.running_var.clone()
            _groups.began[norm] = *before, int(norm.num_batches_tracked)
        norm._check_input_dim(x)
        y, mean, var, count = _OverProcesses.apply(x, norm.weight, norm.bias, norm.eps)
        if norm.track_running_stats:
            norm.num_batches_tracked.add_(1)
            share = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            with torch.no_grad():
                norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
                norm.running_var.lerp_((var * count / (count - 1)).to(norm.running_var.dtype), share)
        found: Tensor = norm.act(norm.drop(y)) if isinstance(norm, BatchNormAct2d) else y
        return found


def synchronise(module: T) -> T:
    """Make each batch norm of a module normalise over all processes, as one process with the whole batch would.

    This acts in training only, and only where there are several processes. The keys of the ``state_dict``, the weights
    and what a class adds to its norm, such as an activation, stay the same. Norms that keep their statistics, torch's
    own SyncBatchNorm and norms whose class normalises in a way of its own are left as they are.

    Args:
        module: the network; its norms are changed in place.

    Returns:
        The same module.
    """
    for norm in module.modules():
        kind = type(norm)
        known = isinstance(norm, Norm) and kind.forward in (Norm.forward, BatchNormAct2d.forward)
        if known and kind.train is nn.Module.train:  # a norm that keeps its statistics has a `train` of its own
            norm.__class__ = type(kind.__name__, (_Synchronised, kind), {})
    return module


def unsynchronised(module: nn.Module) -> list[str]:
    """The class names of a module's batch norms that in training take statistics of each process's own rows alone."""
    norms = (norm for norm in module.modules() if isinstance(norm, Norm) and norm.training)
    return sorted({type(norm).__name__ for norm in norms if not isinstance(norm, _Synchronised | nn.SyncBatchNorm)})


@contextmanager
def in_groups(together: int) -> Iterator[None]:
    """For the length of the block, let each ``together`` neighbouring processes pass batches of their own.

    All groups of processes must pass equally many.

    Afterwards running statistics are as if all these batches had passed one after the other, in order of rank. It is
    meant for passes without a gradient and for norms that `synchronise` has changed.
    """
    global _groups
    groups = _groups = _Groups(together)
    try:
        yield
    finally:
        _groups = None
    for norm, (*began, tracked) in groups.began.items():
        passes = int(norm.num_batches_tracked) - tracked
        kept = (1 - norm.momentum) ** passes
        for statistic, start in zip((norm.running_mean, norm.running_var), began, strict=True):
            last, *others = dist.gather(statistic[None])[::together]
            for end in others:
                last = kept * (last - start) + end
            statistic.copy_(last)
        norm.num_batches_tracked.add_(passes * (dist.world() // together - 1))
