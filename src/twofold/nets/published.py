"""The weights that are published for timm's models: in the hub's cache, or from the network."""

import logging
from contextlib import suppress
from pathlib import Path

import timm
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn

from twofold.errors import UsageError
from twofold.recipe.general import Recipe
from twofold.recipe.rules import SMALL

PATIENCE = 5.0
"""seconds in which the hub must answer that it is there"""
FILES = ("model.safetensors", "pytorch_model.bin")
"""what weights are called on the hub, where a model does not say another name"""


def config_of(backbone: str) -> PretrainedCfg | None:
    """What timm knows of the weights published for a model, None if it has no model of that name.

    Raises:
        UsageError: if it has the model, and no weights of that tag.
    """
    architecture = backbone.split(".")[0]
    if not timm.is_model(architecture):
        return None
    try:
        config: PretrainedCfg | None = get_pretrained_cfg(backbone)
    except RuntimeError:  # a tag that this architecture does not have
        others = ", ".join(timm.list_pretrained(f"{architecture}.*"))
        raise UsageError(f"timm has no weights called {backbone}; it has: {others}") from None
    return config


def passed_over(settings: Recipe) -> bool:
    """Whether a run learns photographs from random weights, although weights are published for its backbone."""
    photographs = settings.augment.colours == "rgb" and settings.image_size > SMALL
    if settings.weights or settings.backbone_arguments or not photographs:
        return False
    config = config_of(settings.backbone)
    return config is not None and bool(config.has_weights)


def published_model(name: str) -> nn.Module:
    """A timm model without its classifier, with the weights published for it, in eval mode.

    Raises:
        UsageError: if there are none, or they cannot be had; the message says which file to bring.
    """
    config = config_of(name)
    if config is None:
        raise UsageError(f"timm has no model {name!r}, so no published weights of it: give a file of weights")
    if not config.has_weights:
        others = timm.list_pretrained(f"{name.split('.')[0]}.*")
        hint = f"; there are: {', '.join(others)}" if others else ""
        raise UsageError(f"there are no published weights of {name}{hint}")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every attempt
    try:
        if config.hf_hub_id:
            _look_once(name, config)
        model: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # of the hub's client, of timm, of the network: each has its own kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        file = f"model.safetensors of {config.hf_hub_id}" if config.hf_hub_id else Path(str(config.url)).name
        raise UsageError(
            f"the published weights of {name} cannot be had ({reason}); bring {file} here from a machine with a "
            "network and name it: pretrain takes it by --weights FILE, or by --teacher-weights FILE for its teacher, "
            f"and evaluate, embed, export and diagnose as FILE --backbone {name}"
        ) from None
    return model.eval()


def _look_once(name: str, config: PretrainedCfg) -> None:
    """Say that weights are downloaded, unless they are in the cache.

    The hub's client tries a file that it does not have for a minute, so the hub is asked once before, and briefly.

    Raises:
        Exception: if the hub cannot be reached: its client has many kinds.
    """
    repository, _, revision = str(config.hf_hub_id).partition("@")
    names = (config.hf_hub_filename,) if config.hf_hub_filename else FILES
    if any(isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str) for file in names):
        return
    with suppress(HfHubHTTPError):  # it is there; what it has, its client finds out
        get_hf_file_metadata(hf_hub_url(repository, names[0], revision=revision or None), timeout=PATIENCE)
    logging.getLogger("twofold").warning(f"downloading the published weights of {name} ({repository})")
