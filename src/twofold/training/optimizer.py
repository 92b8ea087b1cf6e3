"""Optimizers: timm's LARS, torch's AdamW and SGD, with the usual exemption for norms and biases."""

from typing import Any

import torch
from timm.optim.lars import Lars
from torch import nn

from twofold.nets.layers import layers


def create_optimizer(
    method: nn.Module,
    name: str,
    weight_decay: float,
    momentum: float,
    *,
    layer_decay: float = 1.0,
    bias_scale: float = 1.0,
    second_beta: float = 0.999,
    lars_trust: float = 0.02,
    lars_clip: bool = True,
) -> torch.optim.Optimizer:
    """Optimizer over the trainable weights; biases and norm parameters get no decay (nor LARS's adaptation).

    The learning rates are set before every step by `set_rates`, from the step alone, so none is given here. Each layer
    of the backbone gets ``layer_decay`` times the rate of the one after it, the last one the backbone's own; biases and
    norms get ``bias_scale`` times the rate of weights. ``momentum``: of LARS and SGD, the first beta of AdamW.
    ``lars_trust``: times the norm of a weight over that of its gradient, what LARS's rate is multiplied by;
    ``lars_clip``: by at most 1.
    """
    backbone = method.get_submodule("backbone")
    named: set[str] = getattr(backbone, "no_weight_decay", set)()  # timm: position embeddings, class tokens
    inside = {id(parameter): name for name, parameter in backbone.named_parameters()}
    scales = layer_scales(backbone, layer_decay)
    found: dict[tuple[bool, float, bool], dict[str, Any]] = {}
    for parameter in method.parameters():
        if not parameter.requires_grad:
            continue
        key = inside.get(id(parameter))
        decayed = parameter.ndim > 1 and key not in named
        scale = (1.0 if key is None else scales[key]) * (bias_scale if parameter.ndim <= 1 else 1.0)
        group = found.setdefault(
            (key is not None, scale, decayed),
            {"params": [], "weight_decay": weight_decay if decayed else 0.0, "lr_scale": scale},
        )
        group["backbone"], group["decayed"] = key is not None, decayed
        group["params"].append(parameter)
    groups = list(found.values())
    on = next(method.parameters()).device.type
    fused = on in ("cpu", "cuda") or None  # one pass over all weights, where torch has that for them
    if name == "lars":
        for group in groups:
            group["always_adapt"] = group["decayed"]  # timm adapts decayed groups only, also when the decay is 0
        return Lars(groups, lr=1.0, momentum=momentum, trust_coeff=lars_trust, trust_clip=lars_clip)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=1.0, betas=(momentum, second_beta), fused=fused)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=momentum)  # fused, it fails where one gradient begins late
    raise ValueError(f"unknown optimizer {name!r}")


def layer_scales(backbone: nn.Module, layer_decay: float) -> dict[str, float]:
    """The share of the backbone's rate that each of its parameters has, by name: layer_decay^(layers after it)."""
    layer_of = {name: layer for layer, names in enumerate(layers(backbone)) for name in names}
    last = max(layer_of.values(), default=0)
    return {name: layer_decay ** (last - layer) for name, layer in layer_of.items()}


def set_rates(optimizer: torch.optim.Optimizer, lr: float, backbone_lr: float, weight_decay: float) -> None:
    """Give each group of an optimizer that `create_optimizer` made its learning rate and decay for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = (backbone_lr if group["backbone"] else lr) * group["lr_scale"]
        group["weight_decay"] = weight_decay if group["decayed"] else 0.0
