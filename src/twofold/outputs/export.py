"""`twofold export`: the backbone for programs that know nothing of twofold."""

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Literal

import torch
from timm.models.resnet import ResNet
from torch import nn

from twofold.encoding.backbones import open_backbone, run_of
from twofold.encoding.crops import PHOTO_SHARE
from twofold.errors import UsageError, did_you_mean
from twofold.nets.backbone import SMALL, BackboneSpec
from twofold.nets.given import is_given
from twofold.recipe import recipe
from twofold.recipe.foreign import is_foreign
from twofold.run import Run
from twofold.storage import files

FORMATS = {"timm": ".safetensors", "torchvision": ".safetensors", "onnx": ".onnx"}
"""How the files of each format end."""


def export(
    what: str | Path | Run,
    out: str | Path,
    format: Literal["timm", "torchvision", "onnx"] = "timm",
    backbone: str | None = None,
    interpolate_weights: float | None = None,
) -> str:
    """Write a backbone for other programs; returns, in a few lines of text, how it is loaded there.

    Args:
        what: a run or its directory; a folder in it that keeps a backbone (``start``, ``teacher``); a file of weights;
            or the name of a timm model, which comes with its published weights.
        out: the file to write; it ends in ``.onnx`` for that format and else in ``.safetensors``.
        format: ``timm`` and ``torchvision`` are safetensors with that library's key names (torchvision: ResNets
            of the plain kind only); ``onnx`` is a graph that takes normalised images, in batches of any size;
            ``preparation`` in its metadata says how they are prepared.
        backbone: for a file of weights, the name of the timm model that they belong to.
        interpolate_weights: for a run that started from weights, the share of what it has learned that the backbone is
            to have, above 0 and at most 1, instead of the share in its recipe. It is computed from the run's last
            checkpoint and its ``start``.

    Raises:
        UsageError: if there is no such backbone, format or folder, the file has another ending, the backbone
            cannot be had in that format, or there is no checkpoint or start to interpolate between.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}{did_you_mean(format, FORMATS)}; {', '.join(FORMATS)}")
    out = Path(out)
    if out.suffix != FORMATS[format]:
        other = " (--format onnx writes an .onnx file)" if out.suffix == ".onnx" else ""
        raise UsageError(f"{out} must end in {FORMATS[format]} in the format {format}{other}")
    files.target(out)
    encoder = open_backbone(what, backbone=backbone, device="cpu")
    spec, network = encoder.spec, encoder.backbone
    if interpolate_weights is not None:
        network = _between(run_of(what), interpolate_weights)
    if format == "onnx":
        _onnx(network, spec, out)
        images, features = [spec.channels, spec.size, spec.size], spec.features
        graph = f'input "images" [N, {", ".join(map(str, images))}], output "features" [N, {features}]'
        return f"wrote {out}: {graph}; {preparation(spec)}"
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    if format == "torchvision":
        name = _torchvision_name(network, spec)
        start = f"import torch, torchvision\nmodel = torchvision.models.{name}()\nmodel.fc = torch.nn.Identity()"
    else:
        start = building_lines(spec)
    files.save_tensors(out, weights)
    lines = indented(start + stem_lines(network, spec) + load_line(out))
    return "\n".join([f"wrote {out}; {preparation(spec)}; load it with", *lines])


def _between(run: Run | None, share: float) -> nn.Module:
    """The backbone of a run with another share of what it has learned."""
    if run is None or not run.recipe.weights:
        raise UsageError("interpolate_weights needs a run that started from weights")
    settings = recipe.replace(run.recipe, interpolate_weights=share)
    return run.result(run.method(), settings).eval()


def preparation(spec: BackboneSpec) -> str:
    """What the backbone's images have to be, in words."""
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
    square = f"the central square, whose side is {PHOTO_SHARE:g} of the shorter side of an image of over {SMALL} pixels"
    size = f"{spec.size} x {spec.size} pixels, resized by the {spec.interpolation} filter"
    return f"images are {square}, in {size}, from 0 to 1, less the mean ({mean}), divided by the deviation ({std})"


def building_lines(spec: BackboneSpec) -> str:
    """The lines that build the network, with timm or with the function of somebody else's that built it here."""
    arguments = [f"{key}={value!r}" for key, value in spec.arguments.items()]
    if is_given(spec.name):
        return "model = ...  # as it was given to pretrain"
    if is_foreign(spec.name):
        module, _, function = spec.name.partition(":")
        return f"from {module} import {function}\nmodel = {function}({', '.join(arguments)})"
    return f"import timm, torch\nmodel = timm.create_model({', '.join([repr(spec.name), 'num_classes=0', *arguments])})"


def stem_lines(backbone: nn.Module, spec: BackboneSpec) -> str:
    """The two lines that give a ResNet the small stem."""
    if spec.stem == "default":
        return ""
    width = backbone.get_parameter("conv1.weight").shape[0]
    return (
        f"\nmodel.conv1 = torch.nn.Conv2d({spec.channels}, {width}, 3, stride=1, padding=1, bias=False)"
        "\nmodel.maxpool = torch.nn.Identity()"
    )


def load_line(path: Path) -> str:
    return f"\nimport safetensors.torch\nmodel.load_state_dict(safetensors.torch.load_file({str(path)!r}))"


def indented(text: str) -> list[str]:
    return ["    " + line for line in text.splitlines()]


def _torchvision_name(backbone: nn.Module, spec: BackboneSpec) -> str:
    import torchvision

    name = spec.name.split(".")[0]
    if spec.channels != 3:
        raise UsageError(f"torchvision's networks take 3 channels, this one {spec.channels}: export for timm or onnx")
    if isinstance(backbone, ResNet) and name in torchvision.models.list_models():
        theirs = torchvision.models.get_model(name)
        theirs.fc = nn.Identity()
        if spec.stem == "small":
            theirs.conv1, theirs.maxpool = backbone.conv1, nn.Identity()
        shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (theirs, backbone)]
        if shapes[0] == shapes[1]:
            return name
    with_arguments = f" with {json.dumps(spec.arguments)}" if spec.arguments and not is_given(spec.name) else ""
    raise UsageError(f"torchvision has no {spec.name}{with_arguments}; export it for timm or onnx")


def _onnx(backbone: nn.Module, spec: BackboneSpec, out: Path) -> None:
    example = torch.zeros(2, spec.channels, spec.size, spec.size)
    folder = out.with_name(f".{out.name}.{os.getpid()}{files.PARTIAL}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own parts about each other
            program = torch.onnx.export(
                backbone,
                (example,),
                input_names=["images"],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
            )
    except ImportError as error:
        raise UsageError(f"ONNX needs two more packages, pip install 'twofold[onnx]' ({error})") from None
    assert program is not None
    program.model.metadata_props["preparation"] = preparation(spec)
    with files.saying(out):
        try:
            folder.mkdir()
            program.save(str(folder / out.name))
            for path in sorted(folder.iterdir(), reverse=True):  # weights in a file of their own, then what names it
                path.replace(out.with_name(path.name))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
