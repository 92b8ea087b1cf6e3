"""A run directory: its recipe, its networks, what was measured on it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from twofold import device
from twofold.errors import Failed, UsageError
from twofold.methods.base import Method
from twofold.methods.building import backbone_spec, build_method, fresh_backbone
from twofold.nets import given
from twofold.nets.backbone import BackboneSpec
from twofold.nets.interpolated import interpolate
from twofold.nets.recorded import DESCRIPTION, WEIGHTS, fill, recorded_spec, recorded_weights, unlike, write
from twofold.nets.whole import whole_network
from twofold.recipe import toml
from twofold.recipe.general import Recipe
from twofold.recipe.settings import convert, types_of
from twofold.storage import files, locks
from twofold.storage.metrics import read_metrics

START = "start"
"""The folder of a run's first backbone, where no seed can make it again: given from Python, or read from elsewhere."""
CHECKPOINTS = ("checkpoint.pt", "checkpoint.before.pt")
"""The files of the last checkpoint, and of the one before it, which is kept for when the last one is damaged."""
WRITERS = {"evaluation.json": "evaluate", "diagnosis.json": "diagnose"}


@cache
def say(text: str) -> None:
    """Warn of something, once."""
    logging.getLogger("twofold").warning(text)


class Run:
    """A run by its directory ``path``: its recipe, networks and results, each read from its files when asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def open(cls, path: "str | Path | Run") -> "Run":
        """An existing run.

        Raises:
            UsageError: if there is none at ``path``.
        """
        run = path if isinstance(path, Run) else cls(path)
        if not (run.path / "recipe.toml").exists() and not run.begun:
            raise UsageError(f"there is no run at {run.path} (no recipe.toml)")
        locks.refuse_pipes(run.path)
        return run

    @classmethod
    def with_backbone(cls, path: "str | Path | Run") -> "Run":
        """An existing run, or a folder that holds a backbone alone, as a run's ``start`` and ``teacher`` do.

        Raises:
            UsageError: if there is neither at ``path``.
        """
        run = path if isinstance(path, Run) else cls(path)
        if not (run.path / DESCRIPTION).exists():
            return cls.open(run)
        locks.refuse_pipes(run.path)
        return run

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return any((self.path / name).exists() for name in CHECKPOINTS)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run, with nothing left open.

        What decides the run is as its checkpoint has it, if there is one, and how it is carried out as recipe.toml.
        """
        return toml.recorded(self.settings, str(self.path))

    @property
    def settings(self) -> dict[str, Any]:
        """What `recipe` is made of: values of settings, with the version of twofold that began the run.

        Raises:
            UsageError: if recipe.toml cannot be read, and no checkpoint has the recipe either.
        """
        path, kept = self.path / "recipe.toml", self._kept_settings()
        if kept is None:
            return toml.read(path)
        try:
            settings, changed = toml.agreed(kept, toml.read(path))
        except UsageError as error:
            settings, changed = kept, [str(error)]
        if changed:
            say(f"{path} is not what the run began with ({', '.join(changed)}): the checkpoint's recipe is used")
        return settings

    def _kept_settings(self) -> dict[str, Any] | None:
        """What a checkpoint says that the recipe is; None if there is none that can be read."""
        return self._of_checkpoint(lambda state, path: toml.parsed(state["recipe"], path))

    @property
    def began_with(self) -> dict[str, Any] | None:
        """How many training images it was given, readable or not, and their fingerprint; None before a checkpoint."""
        return self._of_checkpoint(lambda state, _: dict(state["data"].get("listed", state["data"])))

    def _of_checkpoint(self, read: Callable[[dict[str, Any], Path], dict[str, Any]]) -> dict[str, Any] | None:
        for name in CHECKPOINTS:
            try:
                return read(files.glance(self.path / name), self.path / name)
            except (UsageError, Failed, KeyError):
                continue
        return None

    @property
    def depth(self) -> str | None:
        """The number type of its images' pixels, read without the code of its method; None where it is not recorded."""
        depth = self.settings.get("depth")
        return None if depth is None else convert(depth, types_of(Recipe)["depth"], "depth")

    @property
    def version(self) -> str:
        """The version of twofold that began the run."""
        return str(self.settings.get(toml.VERSION, ""))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """A row for each step: the loss, its terms, the learning rate, the speed, and kNN where it was measured."""
        return read_metrics(self.path / "metrics.jsonl", say)

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The last result of `twofold.evaluate`; None if there is none."""
        return self._json("evaluation.json")

    @property
    def diagnosis(self) -> dict[str, Any] | None:
        """The last result of `twofold.diagnose`; None if there is none."""
        return self._json("diagnosis.json")

    def _json(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        return (
            files.read_json(path, f"remove it, or write it anew by twofold {WRITERS[name]}") if path.exists() else None
        )

    @property
    def spec(self) -> BackboneSpec:
        """How the backbone is built and its input prepared, by backbone.json or, until it is written, by the recipe."""
        if not (self.path / DESCRIPTION).exists():
            return self._described(self.recipe)
        return recorded_spec(self.path)

    def _described(self, settings: Recipe) -> BackboneSpec:
        """What a recipe says of the backbone; of a module that was given it is recorded where the run starts."""
        spec = backbone_spec(settings)
        if given.is_given(spec.name) and (self.path / START / DESCRIPTION).exists():
            spec = replace(spec, arguments=recorded_spec(self.path / START).arguments)
        return spec

    def backbone(self, into: nn.Module | None = None) -> nn.Module:
        """The pretrained backbone, a timm module in eval mode: normalised images [N, C, H, W] -> features [N, D].

        Its ``pretrained_cfg`` says how its images are prepared, where timm's own functions look for it.

        ``into``: a network of the same kind that gets the weights; by default one is built.

        Raises:
            UsageError: if the run has no backbone yet, or ``into`` is of another kind.
        """
        if not (self.path / WEIGHTS).exists():
            raise UsageError(f"{self.path} has no backbone yet: its pretraining has not ended")
        weights = recorded_weights(self.path)
        if into is not None and (differ := unlike(into.state_dict(), weights)):
            raise UsageError(f"{self.path / WEIGHTS} is not of a network like the one that was given: {differ}")
        backbone = self.spec.build() if into is None else into
        fill(backbone, weights, self.path / WEIGHTS)
        backbone.pretrained_cfg = self.spec.timm_config()  # type: ignore[assignment]
        return backbone.eval()

    def method(self, into: nn.Module | None = None) -> Method:
        """The whole method as the last checkpoint has it (projector, momentum encoder, memory), in eval mode.

        ``into``: a network of the backbone's kind that becomes the method's backbone; by default one is built.

        Raises:
            UsageError: if there is no checkpoint yet, or it is damaged.
        """
        path = self.path / CHECKPOINTS[0]
        if not path.exists():
            raise UsageError(f"{self.path} has no checkpoint yet")
        remedy = "the run's pretrain command goes on from the checkpoint before it"
        state, settings = files.load(path, remedy), self.recipe
        method = build_method(settings, self.spec, state["data"]["images"], into, self.path)
        fill(method, state["method"], path)
        return method.float().eval()

    def untrained(self) -> nn.Module:
        """The backbone with its first random weights, in eval mode; if it was given from Python, as it was then."""
        backbone = fresh_backbone(self.spec, self.recipe.seed)
        if given.is_given(self.spec.name):
            fill(backbone, recorded_weights(self.path / START), self.path / START / WEIGHTS)
        return backbone.eval()

    def start(self, into: nn.Module | None = None) -> nn.Module | None:
        """The backbone with the weights that the run started from, in eval mode; None for a run that had none.

        ``into``: a network of the same kind that gets the weights; by default one is built.
        """
        if not self.recipe.weights:
            return None
        return Run(self.path / START).backbone(into)

    def result(self, method: Method, settings: Recipe) -> nn.Module:
        """The backbone that the run gives of its method as it is now: what is scored, diagnosed and written.

        That is the one that the method exports, or, as ``interpolate_weights`` says, one between the start and that.

        Args:
            settings: the run's recipe, as it was opened.

        Raises:
            UsageError: if the weights of the start are needed and missing, damaged or another network's.
        """
        learned, share = method.exported.backbone, settings.interpolate_weights
        if share == 1:
            return learned
        path = self.path / START / WEIGHTS
        if not path.exists():
            remedy = "bring it back from a copy, or begin a new run with another --out"
            raise UsageError(
                f"{path} is missing, and the run's backbone lies between it and what was learned: {remedy}"
            )
        between = fresh_backbone(self._described(settings), settings.seed)  # the method's own may not be copied
        fill(between, recorded_weights(path.parent), path)
        weight = next(learned.parameters())
        between = device.place(between, weight.device, weight.dtype)
        interpolate(between, learned, share)
        return between

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the directory, and keep other processes from writing to it for the length of the block.

        Raises:
            UsageError: if it cannot be made, or another process is at work on it.
        """
        with locks.held(self.path):
            files.remove_partial(self.path / CHECKPOINTS[0])
            yield

    def write_start(self, backbone: nn.Module, spec: BackboneSpec) -> None:
        """Keep a backbone with its first weights, which no seed can make again, as a run's own lies in its folder."""
        Run(self.path / START).write_backbone(backbone, spec)

    def write_given(self, method: Method) -> None:
        """Keep the networks from elsewhere that a method has, each in a folder as a run's own backbone lies in it."""
        for name, (network, spec) in method.given().items():
            Run(self.path / name).write_backbone(network, spec)

    def write_backbone(self, backbone: nn.Module, spec: BackboneSpec) -> None:
        """backbone.safetensors and backbone.json, which plain timm loads."""
        write(self.path, backbone, spec)


def load_backbone(what: "str | Path | Run", backbone: nn.Module | str | None = None) -> nn.Module:
    """A backbone in eval mode, images [N, C, H, W] -> features [N, D]: a plain timm module, or its own kind.

    It takes images from 0 to 1 (floats as they are) after normalisation by the ``mean`` and ``std`` of the run's
    backbone.json, which the module also has in its ``pretrained_cfg``. timm's own
    transform takes the central square whose side is 7/8 of the shorter side, of any image; twofold takes images of up
    to 64 pixels whole.

    Args:
        what: a run or its directory, a folder in it that keeps a backbone (``start``, ``teacher``), or a file of
            weights.
        backbone: for a file of weights, the name of the timm model that they belong to; for a run whose backbone was
            given as a module, a module of the same kind, which gets the weights.

    Raises:
        UsageError: if there is no such run or file, it has no backbone yet, its weights fit another network, or a file
            comes without ``backbone``.
    """
    if isinstance(backbone, str):
        network, spec = whole_network(backbone, str(what.path if isinstance(what, Run) else what))
        network.pretrained_cfg = spec.timm_config()  # type: ignore[assignment]
        return network
    if not isinstance(what, Run) and Path(what).is_file():
        raise UsageError(f"{what} holds weights: backbone='NAME' says which of timm's models they are of")
    return Run.with_backbone(what).backbone(backbone)
