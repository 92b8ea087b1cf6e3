"""A run's recipe: what was asked for, and what that comes to.

`Wanted` holds the settings that somebody gave, checked, under one flat name each in Python, on the command line and in
TOML files. `resolve.resolve` turns it into a `Recipe`, in which nothing is left open.
"""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any

from twofold.errors import UsageError, did_you_mean
from twofold.recipe.augment import Augment
from twofold.recipe.declared import Spec, owners, spec
from twofold.recipe.foreign import named_in, permit
from twofold.recipe.general import Recipe
from twofold.recipe.settings import Declaration, convert, declarations, defaults_of, types_of

RATES = ("lr", "backbone_lr", "weight_decay")
"""Settings whose values mean something for one optimizer only."""


@dataclass(frozen=True)
class Wanted:
    """A method and the settings that somebody gave, by their flat names; all others are to be chosen."""

    method: str
    given: dict[str, Any]

    @property
    def spec(self) -> Spec:
        return spec(self.method)

    def get(self, name: str) -> Any:
        """A setting as it was given, else its default for this method; None if it is to be chosen."""
        if name == "method":
            return self.method
        defaults = {**general_defaults(), **defaults_of(self.spec.options), **self.fitting(self.spec.recipe)}
        return self.given.get(name, defaults[name])

    def fitting(self, defaults: dict[str, Any]) -> dict[str, Any]:
        """Of a method's own defaults those that hold here: its rates are for its own optimizer and no other one."""
        own = {**general_defaults(), **self.spec.recipe}["optimizer"]
        if self.given.get("optimizer", own) == own:
            return defaults
        return {name: value for name, value in defaults.items() if name not in RATES}

    def but(self, **settings: Any) -> "Wanted":
        """The same with some settings given anew; None takes one back."""
        return wanted(**{"method": self.method, **self.given, **settings})


GROUPS = (Recipe, Augment)


def general_defaults() -> dict[str, Any]:
    """Defaults of the settings that all methods have."""
    return {name: value for owner in GROUPS for name, value in defaults_of(owner).items()}


def known(declared: Spec) -> dict[str, tuple[Declaration, Any]]:
    """Every setting that a method has, with its type."""
    return {
        name: (declaration, types_of(owner)[name])
        for owner in (*GROUPS, declared.options)
        for name, declaration in declarations(owner).items()
    }


def check_declaration(declared: Spec) -> None:
    """
    Raises:
        UsageError: if a method's own defaults do not fit, its options' included, or an option has another setting's
            name.
    """
    common = {name for owner in GROUPS for name in declarations(owner)}
    for name in declarations(declared.options):
        if name in common:
            raise UsageError(f"{declared.module}.Options.{name} is called as a setting that all methods have")
    settable = known(declared)
    defaults = {name: value for name, value in defaults_of(declared.options).items() if value is not None}
    for table, values in (("Options", defaults), ("RECIPE", declared.recipe), ("LARGE", declared.large)):
        for name, value in values.items():
            if name not in settable:
                raise UsageError(
                    f"{declared.module}.{table}: there is no setting {name!r}{did_you_mean(name, settable)}"
                )
            declaration, kind = settable[name]
            where = f"{declared.module}.{table}: {name}"
            declaration.check(where, convert(value, kind, where))


def wanted(method: str = "simclr", **settings: Any) -> Wanted:
    """The wish for a run: flat settings (`lr=0.1, temperature=0.5, blur=(1, 0.1)`), checked. None: not given.

    Raises:
        UsageError: for a name that is no setting of this method (with the nearest one) or a value that does not fit.
    """
    permit(named_in({**settings, "method": method}))
    declared = spec(method)
    check_declaration(declared)
    settable = known(declared)
    given = {}
    for name, value in settings.items():
        key = name.replace("-", "_")
        if key not in settable:
            others = f", but {', '.join(has)}" if (has := owners(key)) else ""
            raise UsageError(f"{declared.name} has no setting {name!r}{others}{did_you_mean(key, settable)}")
        if value is not None:
            declaration, kind = settable[key]
            given[key] = convert(value, kind, key)
            declaration.check(key, given[key])
    return Wanted(declared.name, given)


def assembled(values: dict[str, Any], options: type) -> Recipe:
    """The recipe of a value for every setting by its flat name; ``options``: the class of the method's own."""
    groups = {owner: {name: values[name] for name in declarations(owner)} for owner in (*GROUPS, options)}
    return Recipe(**groups[Recipe], augment=Augment(**groups[Augment]), options=options(**groups[options]))


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe as flat names and values, in the order of the documentation."""
    flat = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name in declarations(Recipe)}
    return flat | dataclasses.asdict(recipe.augment) | dataclasses.asdict(recipe.options)


def complete(settings: dict[str, Any]) -> Recipe:
    """The recipe of flat settings that leave nothing open, as a run has recorded them."""
    request = wanted(**settings)
    options = request.spec.real_options()
    return assembled({**general_defaults(), **defaults_of(options), **request.given, "method": request.method}, options)


def replace(recipe: Recipe, **settings: Any) -> Recipe:
    """A copy with some settings, by their flat names, changed."""
    return complete({**settings_of(recipe), **settings})
