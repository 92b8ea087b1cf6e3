"""Optimizers: timm's LARS, torch's AdamW and SGD, with the usual exemption for norms and biases."""

from typing import Any

import torch
from timm.optim.lars import Lars
from torch import nn


def create_optimizer(method: nn.Module, name: str, weight_decay: float, momentum: float) -> torch.optim.Optimizer:
    """Optimizer over the trainable weights; biases and norm parameters get no decay (nor LARS's adaptation).

    The learning rate is set before every step by the loop, from the step alone, so none is given here.
    """
    backbone = method.get_submodule("backbone")
    named: set[str] = getattr(backbone, "no_weight_decay", set)()  # timm: position embeddings, class tokens
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for key, parameter in method.named_parameters():
        if parameter.requires_grad:
            (exempt if parameter.ndim <= 1 or key.removeprefix("backbone.") in named else decayed).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    if name == "lars":
        groups[0]["always_adapt"] = True  # timm adapts decayed groups only, also when the decay is 0
        # Trust coefficient 0.02, never above the plain rate: the published CIFAR-10 setting.
        return Lars(groups, lr=1.0, momentum=momentum, trust_coeff=0.02, trust_clip=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=1.0, betas=(momentum, 0.999), fused=False)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=momentum)
    raise ValueError(f"unknown optimizer {name!r}")
