"""A network as it is published or saved: all of its weights come from elsewhere, and none is left at random."""

import dataclasses

import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec, check_name, describe
from twofold.nets.weights import give, open_weights


def whole_network(
    name: str, weights: str, size: int | None = None, channels: int = 3
) -> tuple[nn.Module, BackboneSpec]:
    """A timm model without its classifier, with these weights, and how it is built and its images are prepared.

    Args:
        name: timm's.
        weights: ``published``, a file, or the directory of a run, as `open_weights` takes them.
        size: side of the images in pixels; None: as the weights had them.
        channels: of the images.

    Raises:
        UsageError: if there is no such model, its weights cannot be had, or they leave some of it at random.
    """
    check_name(name)
    found = open_weights(weights, name)
    spec, _ = describe(name, {}, found.stem, found.size if size is None else size, channels=channels)
    spec = dataclasses.replace(spec, mean=found.mean, std=found.std, interpolation=found.interpolation)
    network = spec.build()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.fill_(torch.nan)  # what the weights do not replace can be told
    give(found, network)
    if missing := [key for key, tensor in network.state_dict().items() if tensor.isnan().any()]:
        raise UsageError(f"{found.origin} does not hold all weights of {name}: it lacks {', '.join(missing[:4])}")
    return network.eval(), spec
