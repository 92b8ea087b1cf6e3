"""twofold: image representations without labels, by joint embedding.

The names below are imported when they are first used, so that `import twofold` and `--help` need no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.3.0"

if TYPE_CHECKING:
    from twofold import losses
    from twofold.data.scan import scan
    from twofold.run import Run, load_backbone
    from twofold.training.pretrain import compare, diagnose, embed, evaluate, pretrain, report

_HOMES = {
    "pretrain": "twofold.training.pretrain",
    "compare": "twofold.training.pretrain",
    "diagnose": "twofold.training.pretrain",
    "evaluate": "twofold.training.pretrain",
    "embed": "twofold.training.pretrain",
    "report": "twofold.training.pretrain",
    "scan": "twofold.data.scan",
    "Run": "twofold.run",
    "load_backbone": "twofold.run",
}

__all__ = ["Run", "compare", "diagnose", "embed", "evaluate", "load_backbone", "losses", "pretrain", "report", "scan"]


def __getattr__(name: str) -> Any:
    if name == "losses":
        return importlib.import_module("twofold.losses")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'twofold' has no attribute {name!r}")
