"""Results as text for a terminal."""

import inspect
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from twofold.cli.words import shown
from twofold.data.bounds import in_words
from twofold.data.unread import advice, left_out
from twofold.evaluation.titles import BEGINNINGS, RAW_PIXELS, measure_title, representation_title, row_title
from twofold.recipe.settings import declarations, defaults_of
from twofold.storage.names import clean

if TYPE_CHECKING:
    from twofold.data.scan import Scan
    from twofold.outputs.embed import Written
    from twofold.outputs.pack import Packed
    from twofold.recipe.declared import Spec

NAMED = 20  # unreadable images that are named one by one
WIDTH = 100  # of the table of an evaluation in characters, for up to six representations


def evaluation(result: dict[str, Any]) -> str:
    """In percent: a row a measurement, a column a representation, and one for what pretraining has gained.

    Below stand what each spread is over and what came out.
    """
    table = Table(box=SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=0)
    table.title = "%; accuracy where the row names nothing else"
    table.add_column("", no_wrap=True)
    for name in result["representations"]:
        table.add_column(representation_title(name), justify="right", overflow="fold", min_width=10)
    gains = result["gains"]
    if gains:
        table.add_column("gain", justify="right", min_width=11)
    table.add_column("±", style="dim")
    marks: dict[str, str] = {}
    for row, scores in result["scores"].items():
        over = next(iter(scores.values()))["over"]
        mark = marks.setdefault(over, chr(ord("a") + len(marks)))
        cells = (percent(scores.get(name)) for name in result["representations"])
        table.add_row(row_title(row), *cells, *([percent(gains.get(row), "+.1f")] if gains else []), mark)
    data = result["data"]
    lines = [f"± {mark}: over {over}" for over, mark in marks.items()]
    bases = {gain["above"] for gain in gains.values()}
    lines += [
        *(f"gain: pretrained less {base}, ± how uncertain that is (evaluation.json says over what)" for base in bases),
        *result["notes"],
        f"{clean(data['name'])}: {data['train']} training and {data['test']} test images, {data['split']}",
        *result["verdict"],
    ]
    columns = len(result["representations"]) + bool(gains)
    return "\n".join([render(table, max(WIDTH, 34 + 11 * columns)), *lines])


def percent(score: dict[str, Any] | None, form: str = ".1f") -> str:
    """Value and spread; nothing where there is no score."""
    return f"{100 * score['value']:{form}} ± {100 * score['spread']:.1f}" if score else ""


MEASURES = {
    "spread": "distance from the mean, as a share of the length; 0: all the same",
    "dead": "share of dimensions that hardly vary",
    "rank": "effective rank (RankMe), of at most the rank limit",
    "centred_rank": "the same without the mean: directions in which images differ",
    "rank_limit": "fewer of images and dimensions",
    "alpha": "decay of the covariance's eigenvalues (alpha-ReQ); near 1 is best",
    "lidar": "directions that tell images apart, not views (LiDAR)",
    "cosine": "mean cosine between different images",
    "uniformity": "0: all alike, about -4: over the whole sphere",
    "alignment": "squared distance between two views of an image, at length 1",
    "length": "mean length",
}
"""What `twofold diagnose` measures, in a line each."""


def diagnosis(result: dict[str, Any]) -> str:
    """The doctor's word, then a row a measure, a column a representation."""
    said = []
    for f in result["findings"]:
        since = "" if f["since"] is None else f" since step {f['since']}"
        said.append(f"{f['name']}{since}\n  seen: {f['seen']}\n  likely cause: {f['cause']}\n  try: {f['advice']}")
    if not said:
        said = ["no sign of collapse"]
        if "looks" in result:  # a run, which has a history
            healthy = f"no sign of collapse in {result['steps']} steps, looked at {result['looks']} times"
            said = [healthy if result["looks"] else "no step was looked at while training (--measure-every)"]
    names = list(result["measures"])
    if not names:
        return "\n".join([*said, "there is no checkpoint to measure"])
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("", style="dim")
    for measure, meaning in MEASURES.items():
        values = [result["measures"][name].get(measure) for name in names]
        cells = ["" if value is None else f"{value:.3g}" for value in values]
        table.add_row(measure_title(measure), *cells, meaning)
    data, used, views = result["images"].values()
    about = f"{used} images of {clean(data)}, whole; {views} distorted views of each for lidar and alignment"
    return "\n".join([*said, render(table), about])


def comparison(result: dict[str, Any]) -> str:
    """A row a method: its scores over the seeds, its costs, the doctor's word."""
    methods = result["methods"]
    rows = list(dict.fromkeys(row for own in methods.values() for row in own["scores"]["pretrained"]))
    main = ("knn", "linear", "mlp", "finetune", "few_1", "few_10", "segmentation_miou", "patch_retrieval")
    shown = [row for row in rows if row in main]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("", "epochs", *map(row_title, shown), "seconds", "images/s", "MB", "findings"):
        table.add_column(title, justify="left" if title in ("", "findings") else "right")
    if pixels := result[RAW_PIXELS]:
        table.add_row(representation_title(RAW_PIXELS), "", *(percent(pixels.get(row)) for row in shown))
    begun: list[tuple[str, dict[str, Any]]] = []
    for name, own in methods.items():
        for who, scores in own["scores"].items():
            cells = [percent(scores.get(row)) for row in shown]
            if who in BEGINNINGS:
                if (who, scores) not in begun and (scores or who == "untrained"):  # several ways may share theirs
                    table.add_row(Text(f"  {who}", style="dim"), "", *cells)
                    begun.append((who, scores))
                continue
            costs = [" ".join(map(str, own[key])) for key in ("seconds", "images_per_second", "peak_memory_mb")]
            found = sorted({finding for run in own["findings"] for finding in run})
            table.add_row(name, str(own["epochs"]), *cells, *costs, ", ".join(found) or "none")
    lines = []
    for measure, own in result["ranking"].items():
        if not own["order"]:
            lines.append(f"by {measure}: it could not be measured")
            continue
        agreed = f"; agreement with the linear probe {own['agreement']} (Kendall's tau)"
        lines.append(f"by {measure}: {', '.join(own['order'])}{agreed if own['agreement'] is not None else ''}")
    if few := [own["runs"] for own in result["ranking"].values() if own["agreement"] is None and own["runs"] > 1]:
        lines.append(f"{few[0]} runs are too few to say how far that agrees with the linear probe")
    return "\n".join([render(table), *result["verdict"], "without labels, best first:", *lines])


def scanned(part: str, result: "Scan") -> str:
    """What a scan found; last what cannot be read or is not there, by name."""
    sizes = sorted(result.sizes.items(), key=lambda item: -item[1])
    common = ", ".join(f"{count} of {w} x {h}" for (h, w), count in sizes[:3])
    more = f" and {len(sizes) - 3} other sizes" if len(sizes) > 3 else ""
    lines = [f"{part + ': ' if part else ''}{result.images} images ({common}{more}), {len(result.bad)} unreadable"]
    lines += [*advice(result.passed_over), *result.notes]
    if result.kinds:
        lines.append("kinds: " + ", ".join(f"{count} with {kind}" for kind, count in result.kinds.most_common()))
    if result.more_frames:
        files = "1 file has" if len(result.more_frames) == 1 else f"{len(result.more_frames)} files have"
        lines.append(f"{files} further pages or frames, which are left out, as {result.more_frames[0]}")
    if result.nodata:
        files = "1 TIFF file declares" if result.nodata == 1 else f"{result.nodata} TIFF files declare"
        filled = "where pixels have it, they get the mean of their band, but not in pictures of 8 bits"
        lines.append(f"{files} a value for missing data: {filled}")
    if result.long:
        are = "1 image is" if result.long == 1 else f"{result.long} images are"
        lines.append(f"{are} twice as long as wide or more: networks see the central square, so cut them into tiles")
    if result.masked:
        unusable = f", {len(result.bad_masks)} of which cannot be used" if result.bad_masks else ""
        lines.append(f"{result.masked} of them have a mask{unusable}{_values(result.mask_pixels)}")
    if result.classes:
        lines.append("classes: " + ", ".join(f"{name} {count}" for name, count in result.classes.items()))
    lines += [f"  {name}: {reason}" for name, reason in [*result.bad, *result.bad_masks]]
    lines += [f"  {name}: in the table, but names no image" for name in result.missing]
    return "\n".join(map(clean, lines))


def _values(pixels: Mapping[int, int]) -> str:
    """Which values the pixels of masks have, the commonest first."""
    total = sum(pixels.values())
    if not total:
        return ""
    common = sorted(pixels, key=lambda value: -pixels[value])
    shares = ", ".join(f"{value} ({100 * pixels[value] / total:.1f} %)" for value in common[:NAMED])
    more = f" and {len(common) - NAMED} others" if len(common) > NAMED else ""
    return f"; their pixels are {shares}{more}"


def written(result: "Written") -> str:
    """What `embed` wrote, or has written before, and the images left out."""
    said = f"{result.vectors} vectors of {result.features} numbers"
    if result.before == result.images:
        lines = [f"{result.path} is already done: {said}"]
    else:
        earlier = f" ({result.before} of {result.images} images were done before)" if result.before else ""
        lines = [f"wrote {result.path}: {said}{earlier}"]
    lines += result.notes
    if result.unreadable:
        lines.append(f"{left_out(len(result.unreadable))}:")
        lines += [f"  {name}: {reason}" for name, reason in result.unreadable[:NAMED]]
    if len(result.unreadable) > NAMED:
        lines.append(f"  and {len(result.unreadable) - NAMED} more, which twofold scan names")
    return "\n".join(map(clean, lines))


def packed(result: "Packed") -> str:
    """What `pack` wrote, or has written before, and the images left out."""
    earlier = f" ({result.before} of them were there before)" if result.before else ""
    shards = f"{result.shards} {'shard' if result.shards == 1 else 'shards'}"
    lines = [f"{result.path} has {result.images} images in {shards}{earlier}, {in_words(result.bytes)}", *result.notes]
    if result.left_out:
        lines.append(f"{left_out(result.left_out)}:")
        lines += [f"  {name}: {reason}" for name, reason in result.unreadable]
    if result.left_out > len(result.unreadable):
        lines.append(f"  and {result.left_out - len(result.unreadable)} more, which index.jsonl names")
    return "\n".join(map(clean, lines))


COLUMNS = ("family", "views", "topology", "D", "A, B")


def overview(specs: "list[Spec]") -> str:
    """A row a method with its parts."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("method", *COLUMNS):
        table.add_column(title, ratio=None if title in ("method", "family") else 1)
    family = ""
    for spec in specs:
        parts = spec.parts()
        if family and parts.get("family", "") != family:
            table.add_section()
        family = parts.get("family", "")
        table.add_row(spec.name, *(parts.get(key, "") for key in COLUMNS))
    return render(table)


def method(spec: "Spec") -> str:
    """A method's card, its options, and where its recipe departs from the general defaults."""
    options = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("option", "default", "photographs", ""):
        options.add_column(title)
    declared, defaults = declarations(spec.options), defaults_of(spec.options)
    for name, declaration in declared.items():
        rule = inspect.getdoc(declaration.auto) if declaration.auto else None
        default = rule if defaults[name] is None and rule else shown(spec.recipe.get(name, defaults[name]))
        large = shown(spec.large[name]) if name in spec.large else ""
        options.add_row("--" + name.replace("_", "-"), default, large, declaration.help)
    settings = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("its own defaults", "", "photographs"):
        settings.add_column(title)
    for name in dict.fromkeys([*spec.recipe, *spec.large]):
        if name not in declared:
            values = (shown(kept[name]) if name in kept else "" for kept in (spec.recipe, spec.large))
            settings.add_row("--" + name.replace("_", "-"), *values)
    return f"{spec.card}\n\n{render(options)}\n\n{render(settings)}"


def render(table: Table, width: int = 0) -> str:
    """As text, ``width`` characters wide at most; 0: as the terminal, or 120."""
    width = width or (Console().width if Console().is_terminal else 120)
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    output = console.file
    assert isinstance(output, io.StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().strip("\n").splitlines())
