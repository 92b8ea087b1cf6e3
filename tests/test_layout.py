"""What keeps the project readable, and the documentation true."""

import re
import tomllib
from pathlib import Path

import pytest

from twofold import __version__
from twofold.recipe import recipe, toml
from twofold.recipe.declared import methods

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert text.startswith('"""')


def test_the_version_is_one():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert about["project"]["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_recipes_are_valid_and_say_only_what_differs(path):
    wanted = toml.load(path)
    defaults = recipe.wanted(wanted.method)
    for name, value in wanted.given.items():
        if name != "data":
            assert value != defaults.get(name), name
    assert path.read_text().startswith("# twofold pretrain ")


def test_every_method_has_a_recipe():
    for kind in ("cifar10", "photos"):
        files = list((ROOT / "recipes").glob(f"{kind}-*.toml"))
        named = {tomllib.loads(path.read_text())["method"] for path in files}
        assert named == set(methods())
        assert len(files) == len(named)


def test_the_readme_names_every_folder():
    text = (ROOT / "README.md").read_text()
    for folder in (ROOT / "src" / "twofold").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert re.search(rf"^  {folder.name}/ +\w", text, re.M), folder.name
