"""twofold: image representations without labels, by joint embedding.

The names below are imported when they are first used, so that `import twofold` and `--help` need no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from twofold.recipe.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from twofold import errors, losses, measures, probes
    from twofold.augment.distortion import Distortion
    from twofold.augment.views import Views
    from twofold.batch import Batch
    from twofold.comparison.compare import compare
    from twofold.data.scan import scan
    from twofold.diagnosis.diagnose import diagnose
    from twofold.encoding.features import features
    from twofold.evaluation.evaluate import evaluate
    from twofold.methods.base import Method, Output, Setup
    from twofold.methods.create import create_method, list_methods
    from twofold.methods.views import create_views
    from twofold.outputs.embed import embed
    from twofold.outputs.export import export
    from twofold.outputs.label import label
    from twofold.outputs.pack import pack
    from twofold.page.report import report
    from twofold.recipe.rules import Facts
    from twofold.recipe.settings import setting
    from twofold.run import Run, load_backbone
    from twofold.training.neighbours import neighbours
    from twofold.training.pretrain import pretrain

_HOMES = {
    "Batch": "batch",
    "Distortion": "augment.distortion",
    "Facts": "recipe.rules",
    "Method": "methods.base",
    "Output": "methods.base",
    "Run": "run",
    "Setup": "methods.base",
    "Views": "augment.views",
    "compare": "comparison.compare",
    "create_method": "methods.create",
    "create_views": "methods.views",
    "diagnose": "diagnosis.diagnose",
    "embed": "outputs.embed",
    "evaluate": "evaluation.evaluate",
    "export": "outputs.export",
    "features": "encoding.features",
    "label": "outputs.label",
    "list_methods": "methods.create",
    "load_backbone": "run",
    "neighbours": "training.neighbours",
    "pack": "outputs.pack",
    "pretrain": "training.pretrain",
    "report": "page.report",
    "scan": "data.scan",
    "setting": "recipe.settings",
}
"""Where each public name is defined."""

_MODULES = ("errors", "losses", "measures", "probes")

__all__ = [
    "Batch", "Distortion", "Facts", "Method", "Output", "Run", "Setup", "Views", "compare", "create_method",
    "create_views", "diagnose", "embed", "errors", "evaluate", "export", "features", "label", "list_methods",
    "load_backbone", "losses", "measures", "neighbours", "pack", "pretrain", "probes", "report", "scan", "setting",
]  # fmt: skip


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"twofold.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"twofold.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'twofold' has no attribute {name!r}")
