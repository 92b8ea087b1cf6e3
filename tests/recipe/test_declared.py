"""What a method's file declares is read from its source, without running it; a class may be given without a file."""

import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import twofold
from twofold.errors import UsageError
from twofold.recipe import recipe
from twofold.recipe.declared import methods, name_of, spec
from twofold.recipe.settings import declarations, defaults_of, setting, types_of

OWN = '''
"""Mine, of nowhere.

family    contrastive
loss      none to speak of
"""

import torch  # {torch}
from twofold import Method, Output, setting

raise_if_run = {run}
RECIPE = dict(lr=0.01)


def length(facts):
    """as many as there are images"""
    return facts.images


class Options:
    sharpness: float = setting(0.5, "how sharp", low=0.1)
    widths: tuple[int, ...] = setting((8, 4), "widths of layers")
    queue: int = setting(None, "past keys", low=0, auto=length)


class Mine(Method):
    pass
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder on Python's path in which modules can be written."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(place, name, text):
    (place / f"{name}.py").write_text(textwrap.dedent(text).strip() + "\n")


def test_twofolds_own_come_by_family_and_date():
    names = "pirl simclr moco mocov3 barlow_twins vicreg lejepa swav byol simsiam dino distill data2vec".split()
    assert list(methods())[:18] == [*names, "jigsaw", "rotation", "denoising", "mae", "joint"]


def test_a_method_of_another_package_is_read_without_running_it(place):
    write(place, "mine_unrun", OWN.format(torch="", run="1 / 0"))
    found = spec("mine_unrun:Mine")
    assert "mine_unrun" not in sys.modules
    assert (found.title, found.recipe, found.large) == ("Mine, of nowhere", {"lr": 0.01}, {})
    assert found.parts() == {"family": "contrastive", "loss": "none to speak of"}
    assert defaults_of(found.options) == {"sharpness": 0.5, "widths": (8, 4), "queue": None}
    assert types_of(found.options) == {"sharpness": float, "widths": tuple[int, ...], "queue": int}
    queue = declarations(found.options)["queue"]
    assert (queue.help, queue.low, queue.auto.__doc__) == ("past keys", 0, "as many as there are images")


def test_its_help_needs_no_torch(place):
    write(place, "mine_helped", OWN.format(torch="", run="0"))
    for words in (["pretrain", "--method", "mine_helped:Mine", "--help"], ["methods", "mine_helped:Mine"]):
        script = f"""
            import sys
            from twofold.cli import main
            try:
                main({words!r})
            finally:
                assert "torch" not in sys.modules
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=place, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        for said in ("--sharpness", "how sharp", "as many as there are images"):
            assert said in done.stdout


def test_entry_points_give_names(place, monkeypatch):
    """As an installed package has them, in its metadata."""
    write(place, "mine_installed", OWN.format(torch="", run="1 / 0"))
    about = place / "mine_installed-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-installed\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[twofold.methods]\nmine = mine_installed:Mine\n")
    methods.cache_clear()
    try:
        assert list(methods())[-1] == "mine"
        assert spec("mine").module == "mine_installed"
        assert spec("mine").name == "mine"
    finally:
        monkeypatch.undo()
        methods.cache_clear()
    assert "mine" not in methods()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("nowhere_at_all:Mine", None, "no module nowhere_at_all"),
        ("nowhere.at.all:Mine", None, "cannot be found"),
        ("broken_a:Mine", "class Minne(Method): pass", "no method.* did you mean Minne"),
        ("broken_f:Mine", "class Mine: pass", r"its class line must name twofold\.Method"),
        ("broken_g:Mine", "class Options:\n    x: int = setting(None, 'x')\nclass Mine(Method): pass", "no rule auto="),
        (
            "broken_h:Mine",
            "class Options:\n    x: int | None = setting(3, 'x')\nclass Mine(Method): pass",
            "without None",
        ),
        ("broken_i:Mine", "class Mine(Method: pass", "is no Python file"),
        ("broken_b:Mine", "class Options:\n    x: float = 1.0\nclass Mine(Method): pass", "declared as setting"),
        (
            "broken_c:Mine",
            "class Options:\n    x: float = setting(1 / 3, 'x')\nclass Mine(Method): pass",
            "must be a plain value",
        ),
        (
            "broken_d:Mine",
            "class Options:\n    x: list = setting([], 'x')\nclass Mine(Method): pass",
            "has the type list",
        ),
        ("broken_e:Mine", "RECIPE = dict(lr=rate())\nclass Mine(Method): pass", "must be a plain value"),
    ],
)
def test_what_cannot_be_read_is_said(place, name, text, words):
    if text:
        write(place, name.split(":")[0], text)
    with pytest.raises(UsageError, match=words) as said:
        spec(name)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("RECIPE = dict(optimiser='adamw')", "RECIPE: there is no setting 'optimiser'; did you mean optimizer"),
        ("RECIPE = dict(lr='fast')", "RECIPE: lr must be a number"),
        ("LARGE = dict(epochs=0)", "LARGE: epochs must be at least 1"),
        (
            "class Options:\n    keep: float = setting(0.0, 'mine', low=0.1)",
            "Options: keep must be at least 0.1, not 0",
        ),
        ("class Options:\n    keep: int = setting('all', 'mine')", "Options: keep must be a whole number, not 'all'"),
        ("class Options:\n    epochs: int = setting(3, 'mine')", "called as a setting that all methods have"),
    ],
)
def test_own_defaults_are_held_against_the_settings(place, text, words):
    name = f"wrong_{abs(hash(text))}"
    write(place, name, f"{text}\nclass Mine(Method): pass")
    with pytest.raises(UsageError, match=words):
        recipe.wanted(f"{name}:Mine")


class Pull(twofold.Method):
    """Pull, of a notebook."""

    def __init__(self, backbone, setup, options):
        super().__init__(backbone)
        self.o = options

    def forward(self, batch, progress):
        x, y = (self.encode(view) for view in batch.views)
        return twofold.Output({"energy": self.o.strength * twofold.losses.squared(x, y)}, (x, y))

    def collapsed_loss(self, batch_size):
        return 0.0


def written_in_a_cell(default):
    """A method with options of its own, as a cell of a notebook defines both, once more each time it is run."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        strength: float = setting(default, "weight of the energy", low=0)

    class Mine(twofold.Method):
        """Mine, of a cell."""

        RECIPE = dict(flip=0.25)

        def __init__(self, backbone: nn.Module, setup: twofold.Setup, options: Options) -> None:
            super().__init__(backbone)
            self.o = options

        forward, collapsed_loss = Pull.forward, Pull.collapsed_loss

    return Mine


def test_a_class_without_a_file_has_its_own_options_and_recipe():
    """Also where a later cell has other options under the same name, and where the cell is run again."""
    first, second = written_in_a_cell(2.0), written_in_a_cell(3.0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    images = torch.rand(4, 3, 16, 16)
    losses = {}
    for kind, settings in ((first, {}), (second, {}), (first, {"strength": 3})):
        method = twofold.create_method(kind, network, 16, **settings)
        views = twofold.create_views(method)
        assert views.augment.flip == 0.25
        losses[kind, str(settings)] = method(views(images), 0.0).loss.item()
    twice, thrice, asked = losses.values()
    assert thrice == pytest.approx(1.5 * twice, rel=1e-6)
    assert asked == pytest.approx(thrice, rel=1e-6)
    assert spec(name_of(first)).title == "Mine, of a cell"
    with pytest.raises(UsageError, match="strength must be at least 0"):
        twofold.create_method(second, network, 16, strength=-1.0)


def test_a_class_of_a_module_is_read_from_its_file():
    name = name_of(type(twofold.create_method("vicreg", "test_resnet", 32)))
    assert name == "twofold.methods.vicreg:VICReg"
    assert spec(name).given is None


def test_what_a_program_has_imported_is_read_from_its_file(monkeypatch):
    """A run that names a class of the program, which has moved to a file since, finds it where it is imported."""
    simclr = type(twofold.create_method("simclr", "test_resnet", 32))
    monkeypatch.setattr(sys.modules["__main__"], "Moved", simclr, raising=False)
    assert spec("__main__:Moved").module == "twofold.methods.simclr"


def test_recipe_and_large_may_stand_in_the_class_of_a_file(place):
    text = "RECIPE = dict(lr=0.1)\nclass Mine(Method):\n    RECIPE = dict(flip=0.25)\n    LARGE = {'hue': 0.2}"
    write(place, "mine_tables", text)
    found = spec("mine_tables:Mine")
    assert (found.recipe, found.large) == ({"flip": 0.25}, {"hue": 0.2})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Mine = type('Mine', (), {})", "it must be derived from twofold.Method"),
        (
            "Mine = type('Mine', (type(twofold.create_method('simclr', 'test_resnet', 32)),), {})",
            "derived from twofold.Method, and from no other",
        ),
        ("Options = object\nclass Mine(twofold.Method): pass", "options must be a dataclass"),
        (
            "@dataclass\nclass Own:\n    x: int = 3\n"
            "class Mine(twofold.Method):\n    def __init__(self, backbone, setup, options: Own): pass",
            "Options.x must be declared as setting",
        ),
        (
            "class Mine(twofold.Method):\n    def __init__(self, backbone, setup, options: 'Nope'): pass",
            "annotations of its constructor cannot be found .NameError",
        ),
        ("RECIPE = [1]\nclass Mine(twofold.Method): pass", "RECIPE must be a dict of settings, not list"),
        (
            "@dataclass\nclass Options:\n    x: int = setting(None, 'x')\nclass Mine(twofold.Method): pass",
            "Options.x has no default and no rule auto=",
        ),
        ("Mine = twofold.create_method('vicreg', 'test_resnet', 32)", "given as a class"),
    ],
)
def test_what_a_class_without_a_file_lacks_is_said(body, words, monkeypatch):
    cell = type(sys)("a_notebook")
    monkeypatch.setitem(sys.modules, "a_notebook", cell)
    names = vars(cell)
    names.update(twofold=twofold, dataclass=dataclass, setting=setting)
    exec(body, names)
    with pytest.raises(UsageError, match=words):
        name_of(names["Mine"])


PROGRAM = """
import sys
import twofold

class Pull(twofold.Method):
    def forward(self, batch, progress):
        x, y = (self.encode(view) for view in batch.views)
        return twofold.Output({"energy": twofold.losses.nt_xent(x, y)}, (x, y))

    def __init__(self, backbone, setup, options):
        super().__init__(backbone)

    def collapsed_loss(self, batch_size):
        return 1.0

if __name__ == "__main__":
    run = twofold.Run("run")
    if not run.begun:
        twofold.pretrain("digits", method=Pull, backbone="test_resnet", epochs=1, limit=64, out="run", quiet=True)
    print(sorted(twofold.evaluate(run, protocols=("knn",))["scores"]))
"""


def test_a_program_uses_its_own_method_and_others_are_told(tmp_path):
    """From pretraining to evaluation; the run cannot be opened where there is no such class, and that is said."""
    (tmp_path / "program.py").write_text(PROGRAM)
    python = [sys.executable, "-W", "error"]
    for _ in ("learns", "opens the run only"):
        own = subprocess.run([*python, "program.py"], cwd=tmp_path, capture_output=True, text=True)
        assert own.stdout.strip().endswith("['knn']"), own.stderr
    other = subprocess.run([*python, "-m", "twofold", "evaluate", "run"], cwd=tmp_path, capture_output=True, text=True)
    assert other.returncode == 2
    assert "the method Pull was defined in a notebook or a program" in other.stderr
    assert "Traceback" not in other.stderr
