"""Other backbones to compare with: timm's own weights, or another run's."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
from timm.data.config import resolve_model_data_config
from torch import nn

from twofold.errors import UsageError, did_you_mean
from twofold.nets.backbone import BackboneSpec, features_of
from twofold.run import Run


@dataclass(frozen=True)
class Backbone:
    """How its input is prepared, and how to get it with its weights, in eval mode or not."""

    spec: BackboneSpec
    build: Callable[[], nn.Module]


def baseline(name: str) -> Backbone:
    """The backbone of the run directory of that name, or timm's model with the weights published for it.

    Its own input size and normalisation apply.

    Raises:
        UsageError: if there is neither, or its weights cannot be had.
    """
    if Path(name).is_dir():
        run = Run.open(name)
        return Backbone(run.spec, run.backbone)
    if not timm.is_model(name.split(".")[0]):
        hint = did_you_mean(name, timm.list_models())
        raise UsageError(f"there is no run directory and no timm model {name!r} to compare with{hint}")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every attempt
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # of the hub's client, of timm, of the network: each has its own kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UsageError(f"the weights of {name} cannot be had: {reason}") from None
    config = resolve_model_data_config(model)
    size = int(config["input_size"][-1])
    mean, std = (tuple(map(float, config[key])) for key in ("mean", "std"))
    state = {key: value.clone() for key, value in model.state_dict().items()}

    def build() -> nn.Module:
        fresh = timm.create_model(name, num_classes=0)
        fresh.load_state_dict(state)
        return fresh

    return Backbone(BackboneSpec(name, {}, "default", size, mean, std, features_of(model, size)), build)
