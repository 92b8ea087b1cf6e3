"""What is compared: raw pixels, the backbone untrained, at its start and pretrained, its projector, other backbones."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from twofold import device as devices
from twofold import dist
from twofold.data.sources import Source, digest
from twofold.encoding.backbones import open_backbone
from twofold.encoding.cache import Cache, Extractor, fingerprint
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import Features, extract_each, raw_pixels
from twofold.encoding.progress import Tell
from twofold.errors import UsageError
from twofold.evaluation.finetune import Start
from twofold.evaluation.titles import BEGINNINGS, RAW_PIXELS
from twofold.nets.heads import Prototypes
from twofold.recipe.rules import FLIP
from twofold.run import Run

YARDSTICKS = (RAW_PIXELS, *BEGINNINGS)
OWN = (*YARDSTICKS, "pretrained", "projector")
"""A run's representations, in the order of the table."""


@dataclass(frozen=True)
class Representation:
    """Features of the training and the test images, and what else there is to begin with.

    ``start``: for fine-tuning, where there is a backbone. ``prototypes``: of the method, where these features are what
    it compares with them.
    """

    train: Features
    test: Features
    start: Start | None = None
    prototypes: Prototypes | None = None


def of_run(
    run: Run,
    caches: Mapping[str, Cache],
    baselines: Sequence[str],
    device: str | None,
    tell: Tell,
    together: bool = False,
) -> dict[str, Representation]:
    """A run's representations and its baselines', by name, of the ``train`` and the ``test`` split of the data.

    ``together``: the processes of a launch share the passes through the networks. Each must call this and have the same
    images; the first one gets the representations, the others get none. This holds for `of_backbone` too.

    Raises:
        UsageError: if the run has no backbone yet, a baseline cannot be had, or processes that share the work do not
            find the same networks.
    """
    spec, recipe, on = run.spec, run.recipe, devices.choose(device)
    others = opened(baselines, OWN, device, spec.channels)  # before all work, as it may fail
    fresh = run.untrained()
    started = run.start(into=copy.deepcopy(fresh))
    own = {"untrained": fresh, "start": started, "pretrained": run.backbone(into=copy.deepcopy(fresh))}
    encoders = {name: Encoder(backbone, spec, on) for name, backbone in own.items() if backbone is not None} | others
    extractors = {RAW_PIXELS: Extractor("raw", spec.size, raw_pixels)}
    extractors |= {name: Extractor.of(encoder) for name, encoder in encoders.items()}
    if together:
        _agree(encoders)
    found = {split: cache.extracted(extractors, tell, together) for split, cache in caches.items()}
    if not found["train"]:
        return {}
    precision = devices.good_precision(on) if recipe.precision == "bf16" else recipe.precision
    starts = {
        name: Start(encoder, name != "untrained", recipe.augment.flip, precision) for name, encoder in encoders.items()
    }
    every = {n: Representation(found["train"][n], found["test"][n], starts.get(n)) for n in extractors}
    return {
        **{n: every.pop(n) for n in YARDSTICKS if n in every},
        **_own(run, fresh, every.pop("pretrained"), caches),
        **every,
    }


def of_backbone(
    name: str,
    encoder: Encoder,
    splits: Mapping[str, Source],
    baselines: Sequence[str],
    device: str | None,
    tell: Tell,
    together: bool = False,
) -> dict[str, Representation]:
    """Raw pixels, a backbone under its ``name``, and baselines, of the ``train`` and the ``test`` split of the data.

    Raises:
        UsageError: if a baseline cannot be had, or processes that share the work do not find the same networks.
    """
    encoders = {name: encoder} | opened(baselines, (RAW_PIXELS, name), device, encoder.spec.channels)
    sized = {RAW_PIXELS: (encoder.spec.size, raw_pixels)} | {n: (e.spec.size, e) for n, e in encoders.items()}
    if together:
        _agree(encoders)
    found = {
        split: extract_each(source, sized, tell, f"features, {split} images", together)
        for split, source in splits.items()
    }
    if not found["train"]:
        return {}
    starts = {n: Start(e, True, FLIP, devices.good_precision(e.device)) for n, e in encoders.items()}
    return {n: Representation(found["train"][n], found["test"][n], starts.get(n)) for n in sized}


def _agree(encoders: Mapping[str, Encoder]) -> None:
    """
    Raises:
        UsageError: if the processes of a launch have networks of other weights, or prepare their input otherwise.
    """
    if dist.world() > 1:
        found = digest([fingerprint(e.backbone, e.spec) for e in encoders.values()])
        dist.same(found, "all processes must measure the same networks")


def opened(baselines: Sequence[str], taken: Sequence[str], device: str | None, channels: int) -> dict[str, Encoder]:
    """The encoders of baselines by their names.

    Raises:
        UsageError: for a name that is ``taken``, and for a backbone that takes images of other ``channels``.
    """
    for name in set(baselines) & set(taken):
        raise UsageError(f"{name} is a column already: name the run directory ./{name}")
    found = {name: open_backbone(name, device=device) for name in baselines}
    for name, encoder in found.items():
        if encoder.spec.channels != channels:
            raise UsageError(f"{name} takes images of {encoder.spec.channels} channels, and these have {channels}")
    return found


def _own(
    run: Run, fresh: nn.Module, pretrained: Representation, caches: Mapping[str, Cache]
) -> dict[str, Representation]:
    """The pretrained features before the method's projector and, where it has one, after it."""
    if not (run.path / "checkpoint.pt").exists():  # the backbone may be all that was kept
        return {"pretrained": pretrained}
    method = run.method(into=copy.deepcopy(fresh).cpu())
    prototypes = method.exported.prototypes
    prototypes = prototypes if isinstance(prototypes, Prototypes) else None
    if method.project(pretrained.train.values[:1]) is None:
        return {"pretrained": replace(pretrained, prototypes=prototypes)}
    key = fingerprint(method, "projector")

    @torch.inference_mode()
    def project(features: Tensor) -> Tensor:
        projected = method.project(features)
        assert projected is not None
        return projected

    train = caches["train"].derived("projector", key, pretrained.train, project)
    test = caches["test"].derived("projector", key, pretrained.test, project)
    return {"pretrained": pretrained, "projector": Representation(train, test, None, prototypes)}
