"""The layers of a backbone, from the images on: what is frozen, and what learns slower than what comes after it."""

from typing import Self

from timm.models import group_parameters
from torch import nn

from twofold.errors import UsageError


def layers(backbone: nn.Module, coarse: bool = True) -> list[list[str]]:
    """The names of a backbone's parameters, a list for each layer: the stem, then stages or blocks.

    As timm groups them for its models; of another network a layer is a child that has parameters. A stage is one layer
    if they are to be ``coarse``, else each of its blocks.
    """
    names = [name for name, _ in backbone.named_parameters()]
    if callable(matcher := getattr(backbone, "group_matcher", None)):
        layer_of = group_parameters(backbone, matcher(coarse=coarse), reverse=True)
    else:
        children = list(dict.fromkeys(name.partition(".")[0] for name in names))
        layer_of = {name: children.index(name.partition(".")[0]) for name in names}
    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(layer_of[name], []).append(name)
    return [found[layer] for layer in sorted(found)]


class _Kept(nn.Module):
    """A batch norm that normalises with its stored statistics, and leaves them as they are, in training too."""

    def train(self, mode: bool = True) -> Self:
        super().train(False)
        return self


def keep_statistics(backbone: nn.Module) -> None:
    """Have each batch norm of a backbone go on with the mean and variance that it has; its weights may still learn.

    Statistics of distorted images are others than those of whole ones, and weights from elsewhere were learned with
    theirs: to move them alone costs more than adapting the weights can give back.
    """
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            keep(module)


def keep(norm: nn.modules.batchnorm._BatchNorm) -> None:
    """Have a batch norm go on with its mean and variance; torch still computes it at once, with whatever follows."""
    kind = type(norm)
    if not isinstance(norm, _Kept):
        norm.__class__ = type(kind.__name__, (_Kept, kind), {})
    norm.train(False)


def freeze(backbone: nn.Module, count: int) -> None:
    """Keep the first ``count`` layers of a backbone as they are, the statistics of their batch norms too.

    Raises:
        UsageError: if it has no more layers than that, so that nothing would be left to learn.
    """
    if count == 0:
        return
    groups = layers(backbone)
    if count >= len(groups):
        starts = ", ".join(names[0] for names in groups)
        raise UsageError(f"freeze must be below {len(groups)}, the backbone's layers, which begin with: {starts}")
    kept = {name for names in groups[:count] for name in names}
    for name, parameter in backbone.named_parameters():
        if name in kept:  # what was frozen before, as in a module that was given, stays so
            parameter.requires_grad_(False)
    for name, module in backbone.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and f"{name}.weight" in kept:
            keep(module)
