"""From a template to one file that loads nothing: styles, scripts and pictures are all inside."""

import base64
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from twofold.evaluation.titles import measure_title, representation_title, row_title


def render(template: str, **values: Any) -> str:
    """A page made of ``templates/<template>``; every value is escaped."""
    return environment().get_template(template).render(**values)


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("twofold", "page/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"inline": inline, "plotly": lambda: Markup(get_plotlyjs())}
    made.filters |= {"score": score, "short": short}
    made.filters |= {"row": row_title, "representation": representation_title, "measure": measure_title}
    return made


def inline(name: str) -> Markup:
    """A style sheet or a script of this package, as it is."""
    return Markup(files("twofold.page").joinpath("templates", name).read_text(encoding="utf-8"))


def packed(array: np.ndarray) -> dict[str, str]:
    """Numbers for the page's script: little-endian bytes in base64 and the name of the typed array that holds them."""
    names = {"f4": "Float32Array", "u1": "Uint8Array", "u2": "Uint16Array", "u4": "Uint32Array", "i2": "Int16Array"}
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"type": names[array.dtype.str[1:]], "data": base64.b64encode(little.tobytes()).decode()}


def score(value: dict[str, Any], sign: str = "") -> str:
    """An evaluation's score with its spread: accuracy in percent, anything else as it is; ``+``: always with a sign."""
    scale, digits = (100, 1) if value["metric"] == "accuracy" else (1, 3)
    return f"{scale * value['value']:{sign}.{digits}f} ± {scale * value['spread']:.{digits}f}"


def short(value: int | float) -> str:
    """Three digits: 0.012, 3.14, 1230."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
