"""What is compared: raw pixels, the backbone untrained and pretrained, its projector, other backbones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from twofold import device as devices
from twofold.data.sources import Source
from twofold.encoding.features import Cache, Encoder, Extractor, Features, fingerprint, raw_pixels
from twofold.errors import UsageError
from twofold.evaluation.baselines import Backbone, baseline
from twofold.evaluation.finetune import Start
from twofold.nets.heads import Prototypes
from twofold.run import Run

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

YARDSTICKS = ("raw pixels", "untrained")
OWN = (*YARDSTICKS, "pretrained", "projector")


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


def representations(
    run: Run, parts: dict[str, Source], baselines: Sequence[str], on: torch.device, tell: Tell | None
) -> dict[str, Representation]:
    """All of them by name, in the order of the table, for the ``train`` and ``test`` part of the data.

    Raises:
        UsageError: if the run has no backbone yet, or a baseline cannot be had.
    """
    for name in set(baselines) & set(OWN):
        raise UsageError(f"{name} is a column already: name the run directory ./{name}")
    others = {name: baseline(name) for name in baselines}  # first of all, as it may fail
    spec, recipe = run.spec, run.recipe
    precision = devices.good_precision(on) if recipe.precision == "bf16" else recipe.precision
    extractors = {"raw pixels": Extractor("raw", spec.size, raw_pixels)}
    starts: dict[str, Start] = {}
    own = {"untrained": Backbone(spec, run.untrained), "pretrained": Backbone(spec, run.backbone)}
    for name, it in {**own, **others}.items():
        backbone = it.build()
        extractors[name] = Extractor(fingerprint(backbone, it.spec), it.spec.size, Encoder(backbone, it.spec, on))
        starts[name] = Start(it, name != "untrained", recipe.augment.flip, precision, on)
    caches = {part: Cache(run.path / "features", part, source) for part, source in parts.items()}
    found = {
        part: cache.extracted(extractors, partial(tell, f"features, {part} images") if tell else None)
        for part, cache in caches.items()
    }
    every = {n: Representation(found["train"][n], found["test"][n], starts.get(n)) for n in extractors}
    return {**{n: every.pop(n) for n in YARDSTICKS}, **_own(run, every.pop("pretrained"), caches), **every}


def _own(run: Run, pretrained: Representation, caches: dict[str, Cache]) -> dict[str, Representation]:
    """The pretrained features before the method's projector and, where it has one, after it."""
    if not (run.path / "checkpoint.pt").exists():  # the backbone may be all that was kept
        return {"pretrained": pretrained}
    method = run.method()
    prototypes = getattr(method, "prototypes", None)
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
