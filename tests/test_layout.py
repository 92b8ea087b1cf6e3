"""What keeps the project readable, and the documentation true."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from twofold import __version__
from twofold.recipe import recipe, toml
from twofold.recipe.declared import methods
from twofold.recipe.rules import LARGE
from twofold.recipe.settings import convert

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PACKAGE, TESTS = ROOT / "src" / "twofold", ROOT / "tests"

CROSSING = {
    "test_cuda.py",  # every method and command on a GPU
    "test_channels.py",  # images that are no pictures, through every command
    "test_examples.py",  # examples/
    "test_full_disks.py",  # a full disk, a read-only folder, through every command
    "test_layout.py",  # the files themselves
    "test_readme.py",  # README.md
    "test_recipes.py",  # recipes/
    "test_strangers.py",  # a run directory from a stranger through every command
    "claims/test_battery.py",  # one battery over every claim
    "methods/test_battery.py",  # one battery over every method
    "test_strange_names.py",  # names of files that are no text, through every command
    "page/test_browser.py",  # the page as a browser shows it
    "training/test_kill.py",  # a run is killed anywhere and goes on
    "training/test_waits.py",  # every method on a device that counts what waits for it
    "training/test_own_parts.py",  # somebody else's parts through every command
    "training/test_starting_weights.py",  # weights from elsewhere through every command
}
"""Tests that are about no single file."""

UNTESTED = {
    "__main__.py",  # by test_strangers.py, and by every test that starts `python -m twofold`
    "cli/common.py",  # by test_commands.py, through every command
    "cli/outputs.py",  # likewise, and each command by the test of what it calls
    "data/cache.py",  # a folder's name, which the tests of what is kept there set
    "encoding/progress.py",  # what is told, by whoever tells it
    "evaluation/scores.py",  # by test_probes.py, through which people have them
    "evaluation/protocols.py",  # each protocol by its own test, their names by test_evaluate.py
    "recipe/augment.py",  # settings, as those of a recipe: by test_settings.py, test_rules.py and through Views
    "recipe/general.py",  # likewise
    "recipe/source.py",  # what a method's file says: by test_declared.py
    "outputs/rows.py",  # an image or a patch each, written and read back by test_embed.py
    "outputs/vectors.py",  # files of vectors, read back by test_embed.py
    "page/versus.py",  # the page of a comparison, opened by test_compare.py
}
"""Files that have no test of their own name; the file of a method or a claim is covered by its battery."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert text.startswith('"""')


def test_whoever_looks_for_a_files_test_finds_it_by_name():
    """The test of src/twofold/ROOM/FILE.py is tests/ROOM/test_FILE.py, and there is one for every file."""
    files = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    tests = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    by_name = {str(path.with_name(f"test_{path.name}")) for path in files}
    of_methods = {f"methods/{name}.py" for name in methods()}
    of_claims = {str(path) for path in files if path.parts[:2] == ("claims", "experiments")}
    assert {str(path) for path in tests} - by_name == CROSSING
    tested = {str(path.with_name(path.name.removeprefix("test_"))) for path in tests}
    assert {str(path) for path in files} - tested - of_methods - of_claims == UNTESTED


@pytest.mark.parametrize("room", sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()))
def test_a_room_of_tests_is_a_package(room):
    """So that two rooms may have tests of the same name, and tests may share helpers."""
    assert (TESTS / room / "__init__.py").exists()


def test_the_version_is_one():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert about["project"]["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_lowest_versions_that_are_allowed_are_those_of_make_oldest():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints-oldest.txt").read_text().splitlines())
    for text in [*about["dependencies"], *chain(*about["optional-dependencies"].values())]:
        needed = Requirement(text)
        assert needed.specifier == SpecifierSet(f">={pins[canonicalize_name(needed.name)]}"), text


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_recipes_are_valid_and_say_only_what_differs(path):
    wanted = toml.load(path)
    defaults, declared = recipe.wanted(wanted.method), wanted.spec
    large = declared.large if wanted.given.get("image_size", 32) >= LARGE else {}
    for name, value in wanted.given.items():
        if name != "data":
            kind = recipe.known(declared)[name][1]
            default = convert(large[name], kind, name) if name in large else defaults.get(name)
            assert value != default, name
    assert path.read_text().startswith("# twofold pretrain ")


def test_every_method_has_a_recipe():
    for kind in ("cifar10", "photos"):
        files = (ROOT / "recipes").glob(f"{kind}-*.toml")
        assert {tomllib.loads(path.read_text())["method"] for path in files} == set(methods())


def test_the_readme_names_every_folder():
    text = (ROOT / "README.md").read_text()
    for folder in (ROOT / "src" / "twofold").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert re.search(rf"^  {folder.name}/ +\w", text, re.M), folder.name
