"""From what is wanted to a recipe with nothing left open, and what a request would change in a run that is there."""

from typing import Any

from twofold.recipe import rules
from twofold.recipe.general import Recipe
from twofold.recipe.images import COLOURLESS, COLOURLESS_SAID, crops_of, without_colours
from twofold.recipe.recipe import GROUPS, Wanted, assembled, general_defaults, known, settings_of
from twofold.recipe.rules import Facts, Measured
from twofold.recipe.settings import declarations, defaults_of, listed, show

LEARNING = ("image_size", "stem", "batch_size", "lr", "weight_decay")
"""Settings that decide how a run learns, which it says if they were chosen,"""
ADAPTING = ("neighbours", "backbone_lr", "heads_first", "interpolate_weights", "keep_statistics")
"""and these, if it starts from weights."""


def resolve(
    request: Wanted, images: int | None = None, measured: Measured | None = None, steps: int | None = None
) -> tuple[Recipe, list[str]]:
    """The recipe with nothing left open, and in words what was chosen.

    What was given stays. From `rules.LARGE` pixels on a method's defaults are those published for photographs, but for
    small crops in a run from weights, which SwAV lost by; of tiny images crops are larger shares. What is still None is
    chosen by its rule, in the order of declaration.

    Args:
        images: how many there are; None where nobody has said.
        measured: what rules may ask of the images and the machine.
        steps: of the run, where they do not follow from images, batch size and epochs.
    """
    declared, given = request.spec, request.given
    options = declared.real_options()
    own, of_photographs = request.fitting(declared.recipe), request.fitting(declared.large)
    values: dict[str, Any] = {**general_defaults(), **defaults_of(options), **own, **given}
    values["method"] = request.method
    facts, said = Facts(values, images, measured, steps), []
    rule_of = {n: d.auto for owner in (*GROUPS, options) for n, d in declarations(owner).items() if d.auto}

    def choose(names: list[str]) -> list[str]:
        chosen = [name for name in names if values[name] is None]
        for name in chosen:
            values[name] = rule_of[name](facts)
        return chosen

    first = choose(["image_size", "channels", "depth", "colours"])
    if facts.photographs:
        large = {n: v for n, v in of_photographs.items() if n not in given and values[n] != v}
        values.update(large)
        if large:
            said.append(f"views of {values['image_size']} pixels: {listed(large, values)}")
    if values["weights"] and values["image_size"] < (natural := facts.measured.natural_size):
        said.append(f"image_size {values['image_size']}: the weights are made for {natural}, and may be better at that")
    if values["weights"] and values["small_crops"] and "small_crops" not in given:
        values["small_crops"] = 0
        said.append("the backbone starts from weights: small_crops 0")
    tiny = {} if "crop_scale" in given else crops_of(values["image_size"], values["crop_scale"])
    if tiny:
        values.update(tiny)
        said.append(f"images of {values['image_size']} pixels: {listed(tiny, values)}")
    if colourless := without_colours(values["colours"], given):
        values.update(colourless)
        said.append(COLOURLESS_SAID[values["colours"]])
    if values["flip"] is None and not facts.measured.mirrored_alike:
        said.append("mirrored images would look unlike all others here: flip 0 (--flip 0.5 mirrors them)")
    general = first + choose([name for name in rule_of if name not in declarations(options)])
    decisive = [*LEARNING, *(ADAPTING if values["weights"] else ())]
    chosen = [name for name in decisive if name in general]
    if chosen := chosen + choose([name for name in rule_of if name in declarations(options)]):
        known_of = [f"{images} images"] * (images is not None) + [f"{facts.steps} steps"] * (facts.steps is not None)
        about = ", ".join(known_of) or "any number of images"
        said.append(f"chosen for {about} (--help has the rules): {listed(chosen, values)}")
    for name, declaration in declarations(options).items():
        if declaration.high == "images" and images is not None and values[name] > images:
            said.append(f"{name} {images}, not {values[name]}: there are no more images")
            values[name] = images
    return assembled(values, options), said


def difference(old: Recipe, request: Wanted, images: int | None = None) -> list[str]:
    """One ``name: old -> new`` for every setting by which a request asks for another run than ``old``.

    How a run is carried out may differ, and what was left open agrees with whatever was chosen.

    ``images``: how many there are, which some settings never exceed.
    """
    declared = request.spec
    large = request.fitting(declared.large) if old.image_size >= rules.LARGE else {}
    colourless = {} if old.augment.colours == "rgb" else COLOURLESS
    defaults = {
        **general_defaults(),
        **defaults_of(declared.options),
        **request.fitting(declared.recipe),
        **large,
        **colourless,
    }
    defaults |= crops_of(old.image_size, defaults["crop_scale"]) | ({"small_crops": 0} if old.weights else {})
    asked, had = {**defaults, **request.given, "method": request.method}, settings_of(old)
    settable = known(declared)
    changes = []
    for name in {**had, **asked}:
        was, now = had.get(name), asked.get(name)
        declaration = settable[name][0] if name in settable else None
        if declaration and (declaration.operational or now is None):
            continue
        if declaration and declaration.high == "images" and images is not None:
            now = min(now or 0, images)
        if was != now:
            changes.append(f"{name}: {show(was)} -> {show(now)}")
    return changes
