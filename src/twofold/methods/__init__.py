"""The table of methods, and what each one's file declares.

A method's card, options and recipe are read from its source without running it: `--help` and
`twofold methods` need no torch.
"""

import ast
import importlib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold.errors import UsageError, did_you_mean
from twofold.recipe.settings import field_help

if TYPE_CHECKING:
    from twofold.methods.base import Method

TABLE = {
    "simclr": "SimCLR",
    "moco": "MoCo",
    "mocov3": "MoCoV3",
    "pirl": "PIRL",
    "barlow_twins": "BarlowTwins",
    "vicreg": "VICReg",
    "swav": "SwAV",
    "byol": "BYOL",
    "simsiam": "SimSiam",
    "dino": "DINO",
    "data2vec": "Data2Vec",
    "jigsaw": "Jigsaw",
    "rotation": "Rotation",
    "denoising": "Denoising",
    "mae": "MAE",
    "joint": "Joint",
}
"""Every method: the name used everywhere, which is also its file, and its class."""


@dataclass(frozen=True)
class Spec:
    """What a method's file declares."""

    name: str
    card: str
    options: Any
    recipe: dict[str, Any]
    """its own defaults for what all methods have"""
    large: dict[str, Any]
    """what changes for photographs, from `LARGE` pixels on"""
    help: dict[str, str]

    @property
    def title(self) -> str:
        return self.card.splitlines()[0].rstrip(".")

    def parts(self) -> dict[str, str]:
        """The card's rows: family, views, topology, D, "A, B", loss."""
        rows: dict[str, str] = {}
        key = ""
        for line in self.card.splitlines()[2:]:
            head, text = line[:10].strip(), line[10:].strip()
            key = head or key
            rows[key] = f"{rows.get(key, '')} {text}".strip()
        return {k: v for k, v in rows.items() if k}


@cache
def spec(name: str) -> Spec:
    """The declaration of a method, by its name (a hyphen is taken for an underscore).

    Raises:
        UsageError: if there is no such method.
    """
    key = name.replace("-", "_").lower()
    if key not in TABLE:
        raise UsageError(f"there is no method {name!r}{did_you_mean(key, TABLE)} (twofold methods lists them)")
    path = Path(__file__).with_name(f"{key}.py")
    module = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    declared: list[ast.stmt] = [
        node
        for node in module.body
        if (isinstance(node, ast.ImportFrom) and node.module in ("dataclasses", "typing"))
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("RECIPE", "LARGE"))
        or node is classes["Options"]
    ]
    names: dict[str, Any] = {"__name__": f"twofold.methods.{key}"}
    exec(compile(ast.Module(declared, []), path, "exec"), names)
    card = ast.get_docstring(module) or ""
    return Spec(key, card, names["Options"], names["RECIPE"], names["LARGE"], field_help(classes["Options"]))


def build(name: str, *arguments: Any) -> "Method":
    """The method as a module: ``build("vicreg", backbone, setup, options)``."""
    declared = spec(name)
    module = importlib.import_module(f"twofold.methods.{declared.name}")
    method: Method = getattr(module, TABLE[declared.name])(*arguments)
    return method


def option_names(name: str) -> list[str]:
    return [f.name for f in fields(spec(name).options)]
