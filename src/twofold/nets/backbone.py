"""Backbones: any timm model without its classifier, fitted to the size of the images."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import timm
import torch
from timm.models.resnet import ResNet
from torch import nn

from twofold.errors import UsageError, did_you_mean

SMALL = 64
"""Largest image side, in pixels, that gets the small stem."""


@dataclass(frozen=True)
class BackboneSpec:
    """What `backbone.json` holds: enough to build the network and prepare its input without twofold."""

    name: str
    arguments: dict[str, Any]
    stem: Literal["default", "small"]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    features: int = 0

    def build(self) -> nn.Module:
        """The network with fresh weights: images [N, 3, H, W] -> features [N, D]."""
        try:
            backbone = timm.create_model(self.name, num_classes=0, **self.arguments)
        except Exception as error:  # timm checks names and arguments in many places, each with its own kind
            hint = "" if timm.is_model(self.name.split(".")[0]) else did_you_mean(self.name, timm.list_models())
            raise UsageError(f"timm cannot make {self.name!r}: {' '.join(str(error).split())}{hint}") from None
        if self.stem == "small":
            give_small_stem(backbone)
        return backbone

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def timm_config(self) -> dict[str, Any]:
        """How its input is prepared, as timm's `resolve_model_data_config` reads it from a ``pretrained_cfg``."""
        return {"input_size": (3, self.size, self.size), "mean": self.mean, "std": self.std, "interpolation": "bicubic"}


def fit(
    name: str, arguments: dict[str, Any], stem: str, size: int, small_size: int = 0, pool: str = "default"
) -> tuple[BackboneSpec, list[str]]:
    """The backbone's description for images of ``size`` pixels, and what was chosen, in words.

    ``small_size``: of multi-crop's small views, if there are any; the backbone must take both. ``pool``: ``average``
    lets a vision transformer give the mean of its patches' tokens.

    A ResNet gets the small stem at 64 pixels and under (``stem="auto"``), a vision transformer its image size, and
    below 128 pixels a patch small enough to leave at least 8 x 8 patches.
    """
    said = []
    entry = timm.models.model_entrypoint(name.split(".")[0]) if timm.is_model(name.split(".")[0]) else None
    module = inspect.getmodule(entry)
    transformer = module is not None and hasattr(module, "VisionTransformer")
    if transformer:
        arguments = {"dynamic_img_size": True, **arguments}  # small views, tiles
    if transformer and "img_size" not in arguments:
        arguments["img_size"] = size
        if "patch_size" not in arguments and size < 128:
            patch = next(
                p for p in (16, 12, 8, 7, 6, 5, 4, 3, 2, 1) if size % p == 0 and size // p >= min(8, size // 2)
            )
            arguments["patch_size"] = patch
            said.append(f"{name}: patches of {patch} pixels, {(size // patch) ** 2} of them in an image of {size}")
    if pool == "average" and not transformer:
        raise UsageError(f"only vision transformers have tokens to average, {name} is none (--pool)")
    if pool == "average":  # of tokens that the last norm has passed, as it is trained on them
        arguments = {**arguments, "global_pool": "avg", "fc_norm": False}
    spec = BackboneSpec(name, arguments, "default", size, (), ())
    backbone = spec.build()
    resnet = isinstance(backbone, ResNet)
    if stem == "small" and not resnet:
        raise UsageError(f"only ResNets have a small stem, {name} is none (--stem)")
    if stem == "small" or (stem == "auto" and resnet and size <= SMALL):
        spec = BackboneSpec(name, arguments, "small", size, (), ())
        said.append(f"{name}: small stem (3x3 convolution, stride 1, no max-pool), for images of {size} pixels")
        give_small_stem(backbone)
    features = features_of(backbone, size)
    if small_size:
        features_of(backbone, small_size)
    return BackboneSpec(spec.name, spec.arguments, spec.stem, size, (), (), features), said


def give_small_stem(backbone: nn.Module) -> None:
    """Replace a ResNet's 7x7 stride-2 convolution and max-pool, which leave little of a small image."""
    width = len(backbone.get_parameter("bn1.weight"))
    backbone.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(backbone.conv1.weight, mode="fan_out", nonlinearity="relu")
    backbone.maxpool = nn.Identity()


def features_of(backbone: nn.Module, size: int) -> int:
    """How many features the backbone gives an image of ``size`` pixels.

    Raises:
        UsageError: if it does not take images of that size, or does not give one vector an image.
    """
    weight = next((p for p in backbone.parameters() if p.is_floating_point()), torch.empty(0))
    with torch.no_grad(), evaluating(backbone):
        try:
            out = backbone(torch.zeros(1, 3, size, size, dtype=weight.dtype, device=weight.device))
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"the backbone does not take images of {size} pixels: {reason}") from None
    if not isinstance(out, torch.Tensor) or out.ndim != 2:
        raise UsageError("the backbone does not give one vector an image (see --backbone-arguments)")
    return int(out.shape[1])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; afterwards each of the module's parts is in the mode that it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
