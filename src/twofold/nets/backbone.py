"""Backbones: any timm model without its classifier, fitted to the size of the images."""

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import timm
import torch
from timm.data.config import resolve_model_data_config
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg
from timm.models.resnet import ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from twofold.errors import UsageError, did_you_mean
from twofold.nets import given, vit
from twofold.recipe.foreign import is_foreign, load

NAME = re.compile(r"\w+(\.\w+)?")
"""A model of timm's own, perhaps with the tag of its weights: timm itself takes folders and places on the network."""
NETWORKS = re.compile(r"timm\.(layers|models)\.(?!_)")
"""Modules of timm's that define networks, or parts of them."""
STRUCTURE = "structure"
"""What stands, in place of an argument, for how a module that was given is built (`twofold.nets.given`)."""
Interpolation = Literal["bilinear", "bicubic"]

SMALL = 64
"""Largest image side, in pixels, of images that are no photographs: they are looked at whole."""
SMALL_STEM = 40
"""Largest image side, in pixels, that gets the small stem, with which a step costs 16 times as much."""
USUAL = 224
"""Side in pixels of the images for a network that does not say what it takes."""


@dataclass(frozen=True)
class BackboneSpec:
    """What `backbone.json` holds: enough to build the network and prepare its input without twofold.

    ``name``: timm's, or ``package.module:function``, whose ``arguments`` are the function's. ``size``: side of the
    images in pixels; ``interpolation``: the filter that resizes them. ``features``: 0 where they have not been counted
    yet.
    """

    name: str
    arguments: dict[str, Any]
    stem: Literal["default", "small"]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    features: int = 0
    interpolation: Interpolation = "bicubic"
    channels: int = 3

    def build(self) -> nn.Module:
        """The network with fresh weights: images [N, C, H, W] -> features [N, D]. torch's generator stays where it is.

        Raises:
            UsageError: if timm or the function of that name cannot make it.
        """
        if given.is_given(self.name):
            return given.copy_of(self.name, str(self.arguments.get(STRUCTURE, "")))
        with torch.random.fork_rng(devices=[]):
            return self._fresh()

    def _fresh(self) -> nn.Module:
        backbone = built_by(self.name, self.arguments) if is_foreign(self.name) else timm_model(self)
        if self.stem == "small":
            if not isinstance(backbone, ResNet):
                raise UsageError(f"only timm's ResNets have a small stem, {self.name} is none (--stem)")
            give_small_stem(backbone)
        if isinstance(backbone, VisionTransformer) and "weight_init" not in self.arguments:
            vit.begin(backbone)
        return backbone

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def timm_config(self) -> dict[str, Any]:
        """How its input is prepared, as timm's `resolve_model_data_config` reads it from a ``pretrained_cfg``."""
        size = (self.channels, self.size, self.size)
        return {"input_size": size, "mean": self.mean, "std": self.std, "interpolation": self.interpolation}


def timm_model(spec: BackboneSpec) -> nn.Module:
    """timm's model of that name without its classifier, with fresh weights; nothing is loaded for it.

    Raises:
        UsageError: if timm has no such model of its own, an argument is none of its networks', or timm cannot make it.
    """
    check_name(spec.name)
    known = arguments_of(spec.name)
    for argument in spec.arguments:
        if argument not in known:
            raise UsageError(f"{spec.name} has no argument {argument!r}{did_you_mean(argument, known)}")
    try:
        return timm.create_model(spec.name, num_classes=0, **spec.arguments)
    except Exception as error:  # timm checks names and arguments in many places, each with its own kind
        hint = "" if timm.is_model(spec.name.split(".")[0]) else did_you_mean(spec.name, timm.list_models())
        raise UsageError(f"timm cannot make {spec.name!r}: {' '.join(str(error).split())}{hint}") from None


LOADING = {
    *inspect.signature(timm.create_model).parameters, *inspect.signature(build_model_with_cfg).parameters,
    "features_only", "out_indices",
}  # fmt: skip
"""Arguments that timm does not hand to a network: they load files, or change what comes out."""
NORMS = {"bn_eps", "bn_momentum"}
"""Arguments that the functions of EfficientNets and their kin turn into another one of the network's."""


def arguments_of(name: str) -> set[str]:
    """What timm's model of that name may be told: the arguments of the classes in its module, `LOADING` aside.

    `NORMS` are too, where the module makes norms of them. timm passes anything else on to what loads weights, from
    files and from the network.
    """
    module = inspect.getmodule(timm.models.model_entrypoint(name.split(".")[0]))
    classes = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if NETWORKS.match(kind.__module__)]
    known = {name for kind in classes for name in inspect.signature(kind).parameters} - LOADING
    return known | NORMS if hasattr(module, "resolve_bn_args") else known


def built_by(name: str, arguments: dict[str, Any]) -> nn.Module:
    """What the function ``package.module:function`` makes of its arguments.

    Raises:
        UsageError: if there is no such function, it fails, or it does not give a module.
    """
    function = load(name, "a backbone")
    try:
        backbone = function(**arguments)
    except Exception as error:  # whatever a function does
        raise UsageError(f"{name} fails: {type(error).__name__}: {' '.join(str(error).split())}") from None
    if not isinstance(backbone, nn.Module):
        raise UsageError(f"{name} must give a torch.nn.Module, not {type(backbone).__name__}")
    return backbone


def describe(
    name: str, arguments: dict[str, Any], stem: str, size: int, pool: str = "default", channels: int = 3
) -> tuple[BackboneSpec, list[str]]:
    """The description of a backbone for images of ``size`` pixels, and what was chosen, in words. Nothing is built.

    A vision transformer of timm's is told the size of the images, and below 128 pixels gets a patch small enough to
    leave at least 8 x 8 patches. ``pool``: ``average`` lets it give the mean of its patches' tokens. Any of timm's
    models is told the ``channels`` of the images, if they are not 3. With the small stem a ResNet's blocks begin with
    all their convolutions: timm begins with their shortcuts alone, which see one pixel of 64.

    Raises:
        UsageError: if the tokens of something else are to be averaged.
    """
    said = []
    if given.is_given(name) and (structure := given.structure(name)):
        arguments = {**arguments, STRUCTURE: structure}
    if channels != 3 and not (is_foreign(name) or given.is_given(name)):
        arguments = {"in_chans": channels, **arguments}
    transformer = defines(name, "VisionTransformer")
    if transformer:
        arguments = {"dynamic_img_size": True, **arguments}  # small views, tiles
    if transformer and "img_size" not in arguments:
        arguments["img_size"] = size
        if "patch_size" not in arguments and size < 128:
            fitting = (p for p in (16, 12, 8, 7, 6, 5, 4, 3, 2, 1) if size % p == 0 and size // p >= min(8, size // 2))
            patch = next(fitting)
            arguments["patch_size"] = patch
            said.append(f"{name}: patches of {patch} pixels, {(size // patch) ** 2} of them in an image of {size}")
    if pool == "average" and not transformer:
        raise UsageError(f"only timm's vision transformers have tokens to average, {name} is none (--pool)")
    if pool == "average":  # of tokens that the last norm has passed, as it is trained on them
        arguments = {**arguments, "global_pool": "avg", "fc_norm": False}
    if stem == "small":
        said.append(f"{name}: small stem (3x3 convolution, stride 1, no max-pool), for images of {size} pixels")
        arguments = {"zero_init_last": False, **arguments} if defines(name, "ResNet") else arguments
    return BackboneSpec(
        name, arguments, "small" if stem == "small" else "default", size, (), (), channels=channels
    ), said


def described(network: nn.Module, name: str = "") -> BackboneSpec:
    """What timm's models say of their own input, or what is usual; the number of features is left open."""
    config = {"input_size": (3, USUAL, USUAL), "mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
    if getattr(network, "pretrained_cfg", None):
        config = resolve_model_data_config(network)
    mean, std = (tuple(map(float, config[key])) for key in ("mean", "std"))
    channels, size = int(config["input_size"][0]), int(config["input_size"][-1])
    interpolation: Interpolation = "bilinear" if str(config.get("interpolation")) == "bilinear" else "bicubic"
    return BackboneSpec(
        name or type(network).__qualname__, {}, "default", size, mean, std, 0, interpolation, channels=channels
    )


def check_name(name: str) -> None:
    """
    Raises:
        UsageError: if nothing of that name can be built: no timm model, function of a module, or module that was given.
    """
    if given.is_given(name):
        given.copy_of(name)
    elif is_foreign(name):
        load(name, "a backbone")
    elif not NAME.fullmatch(name) or not timm.is_model(name.split(".")[0]):
        raise UsageError(f"timm has no model {name!r}{did_you_mean(name, timm.list_models())}")


def stem_for(name: str, size: int) -> str:
    """``small`` for timm's ResNets at `SMALL_STEM` pixels and under, else ``default``."""
    return "small" if size <= SMALL_STEM and defines(name, "ResNet") else "default"


def defines(name: str, kind: str) -> bool:
    """Whether timm's module that makes the model of that name has a class ``kind``, which its models then are."""
    model = name.split(".")[0]
    module = inspect.getmodule(timm.models.model_entrypoint(model)) if timm.is_model(model) else None
    return module is not None and hasattr(module, kind)


def give_small_stem(backbone: nn.Module) -> None:
    """Replace a ResNet's 7x7 stride-2 convolution and max-pool, which leave little of a small image."""
    width = len(backbone.get_parameter("bn1.weight"))
    channels = next(layer.in_channels for layer in backbone.modules() if isinstance(layer, nn.Conv2d))
    backbone.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(backbone.conv1.weight, mode="fan_out", nonlinearity="relu")
    backbone.maxpool = nn.Identity()


def features_of(backbone: nn.Module, size: int, channels: int = 3) -> int:
    """How many features the backbone gives an image of ``size`` pixels; its mode, training or not, stays.

    Raises:
        UsageError: if it does not take images of that size, or does not give one vector an image.
    """
    weight = next((p for p in backbone.parameters() if p.is_floating_point()), torch.empty(0))
    images = torch.zeros(1, channels, size, size, device=weight.device, dtype=weight.dtype)
    with torch.no_grad(), evaluating(backbone):
        try:
            out = backbone(images)
        except Exception as error:  # a module of somebody else's raises what it likes
            reason = " ".join(str(error).split())
            shape = f"{size} pixels" if channels == 3 else f"{channels} channels and {size} pixels"
            raise UsageError(f"the backbone does not take images of {shape}: {reason}") from None
    if not isinstance(out, torch.Tensor) or out.ndim != 2 or not out.is_floating_point():
        raise UsageError(
            f"the backbone does not give one vector an image, [1, D] of floats for one, but {_in_words(out)}: wrap it "
            "in a module that gives the vector, or of a timm model see --backbone-arguments"
        )
    return int(out.shape[1])


def _in_words(out: object) -> str:
    """What a network gave."""
    if isinstance(out, torch.Tensor):
        return f"a tensor {list(out.shape)} of {str(out.dtype).removeprefix('torch.')}"
    if isinstance(out, Mapping):
        return f"a {type(out).__name__} with {', '.join(map(str, list(out)[:5]))}"
    return f"a {type(out).__name__}" + (f" of {len(out)}" if isinstance(out, list | tuple) else "")


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
