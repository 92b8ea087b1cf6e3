"""Words of a command line: what they stand for, and what is said of them."""

from pathlib import Path

import pytest

from tests.cli.running import twofold
from tests.conftest import encoded, picture, resolved
from twofold.cli import words as words_of_commands
from twofold.errors import UsageError
from twofold.recipe import recipe, rules
from twofold.recipe.declared import methods
from twofold.recipe.settings import Declaration
from twofold.run import Run


def test_help_explains_every_setting(capsys):
    for name in methods():
        code, out, _ = twofold(capsys, "pretrain", "--method", name, "--help")
        assert code == 0
        settings = recipe.settings_of(resolved(name, image_size=8))
        for key in settings:
            if key not in ("data", "method"):
                assert f"--{key.replace('_', '-')}" in out, key
        assert f"\n{name}:\n" in out
        assert "--crop-scale FLOAT FLOAT\n" in out  # how many values it takes
        assert "--distortions [STR ...]\n" in out


def test_none_is_a_value_where_a_setting_has_it():
    """Elsewhere it is the word for no value."""
    words = "digits --method vicreg --projector-norm none --workers none".split()
    wanted = words_of_commands.recipe_of(words, "")
    assert wanted.get("projector_norm") == "none"
    assert wanted.get("workers") is None


def test_a_default_that_is_given_is_given(capsys, tmp_path):
    """From 128 pixels on SimCLR's temperature follows the photographs' recipes, unless it was asked for."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(encoded(picture(128, 128, number)))
    words = "--backbone test_resnet --projector 16 --batch-size 8 --epochs 1 --image-size 128".split()
    words += "--device cpu --precision fp32".split()
    for more, temperature in (((), 0.1), (("--temperature", "0.2"), 0.2)):
        out = tmp_path / f"run{temperature}"
        code, _, err = twofold(capsys, "pretrain", folder, *words, *more, "--out", out)
        assert code == 0, err
        assert Run(out).recipe.options.temperature == temperature
        assert ("temperature 0.1" in err) == (temperature == 0.1)


def test_backbone_arguments_are_toml_values(capsys, tmp_path):
    arguments = ["--backbone-arguments", "layers", "[1, 1, 1, 1]", "channels", "[16, 16, 16, 16]", "act_layer", "silu"]
    words = [
        "pretrain",
        "digits",
        "--projector",
        "8",
        "--limit",
        "32",
        "--batch-size",
        "32",
        "--epochs",
        "1",
        "--device",
        "cpu",
    ]
    code, _, _ = twofold(capsys, *words, *arguments, "--out", tmp_path / "run")
    assert code == 0
    expected = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16], "act_layer": "silu"}
    assert Run.open(tmp_path / "run").recipe.backbone_arguments == expected


def asked(*words):
    """What words after `twofold pretrain` give, by name."""
    return words_of_commands.recipe_of(words, "").given


@pytest.fixture
def file(tmp_path):
    """A recipe file."""
    path = tmp_path / "recipe.toml"
    path.write_text('data = "photos"\nmethod = "byol"\nlr = 0.5\nresident = true\npredictor = [64, 128]\n')
    return path


def test_words_are_read_by_the_type_of_their_setting():
    words = "digits --epochs 3 --lr 1 --blur 1 0.1 --projector 64 32 --resident no --optimizer sgd".split()
    expected = dict(data="digits", epochs=3, lr=1.0, blur=(1.0, 0.1), projector=(64, 32), resident=False)
    assert asked(*words) == {**expected, "optimizer": "sgd"}
    assert asked("digits") == {"data": "digits"}  # what is not given is not there


def test_a_list_may_be_empty():
    assert asked("digits", "--projector")["projector"] == ()


def test_a_recipe_file_gives_what_the_words_do_not(file):
    wanted = words_of_commands.recipe_of(["--recipe", str(file), "--epochs", "3"], "")
    assert wanted.method == "byol"
    assert wanted.given == dict(data="photos", lr=0.5, resident=True, predictor=(64, 128), epochs=3)
    over = asked("digits", "--lr", "0.1", "--recipe", str(file))
    assert (over["data"], over["lr"], over["resident"]) == ("digits", 0.1, True)


def test_none_takes_back_what_a_recipe_file_gave(file):
    given = asked("--recipe", str(file), "--lr", "none", "--resident", "None")
    assert given == dict(data="photos", predictor=(64, 128))
    assert "crop_scale" not in asked("digits", "--crop-scale", "none")


def test_the_images_may_stand_behind_options():
    assert asked("--crop-scale", "0.1", "0.5", "digits") == dict(data="digits", crop_scale=(0.1, 0.5))
    assert asked("--crop-scale", "none", "digits") == dict(data="digits")


def test_none_of_several_is_nothing():
    assert asked("digits", "--method", "vicreg", "--projector", "none")["projector"] == ()
    assert asked("digits", "--distortions", "none")["distortions"] == ()
    assert asked("digits", "--backbone-arguments", "none")["backbone_arguments"] == {}


def test_numbers_below_zero_may_have_an_exponent():
    assert asked("digits", "--mean", "-1e-3", "-.5", "0")["mean"] == (-0.001, -0.5, 0.0)


def test_another_method_takes_a_recipe_files_settings_if_it_has_them(file):
    with pytest.raises(UsageError, match="simclr has no setting 'predictor'"):
        asked("--recipe", str(file), "--method", "simclr")
    assert asked("--recipe", str(file), "--method", "simsiam")["predictor"] == (64, 128)


def test_a_table_is_pairs_whose_values_are_toml():
    words = ["--backbone-arguments", "a", "0.5", "b", "true", "c", "[1, 2]", "d", "plain", "e", '"2"', "f", "1 or 2"]
    expected = {"a": 0.5, "b": True, "c": [1, 2], "d": "plain", "e": "2", "f": "1 or 2"}
    assert asked("digits", *words)["backbone_arguments"] == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("digits --backbone-arguments a", "needs pairs of a name and a value"),
        ("digits --blur 1", "--blur"),
        ("digits --epochs 2.5", "invalid whole number value: '2.5'"),
        ("digits --lr fast", "invalid number value: 'fast'"),
        ("digits --resident maybe", "must be true or false, not 'maybe'"),
        ("digits --temprature 1", "unrecognized --temprature; did you mean --temperature"),
        ("digits --prototypes 3", "unrecognized --prototypes: simclr does not have it, but swav, dino, joint"),
        ("digits --crop-scale 0.1", "--crop-scale: expected 2 arguments"),
        ("digits --crop-scale 0.1 0.2 0.3", "unrecognized 0.3"),
        ("digits more", "unrecognized more"),
        ("digits --epo 3", "unrecognized --epo"),  # no abbreviations: a new setting must not change what they mean
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(words, said):
    with pytest.raises(UsageError) as error:
        asked(*words.split())
    assert said in str(error.value)
    assert str(error.value).endswith("(twofold pretrain --help)")
    assert "\n" not in str(error.value)


def test_a_comparison_has_the_general_settings_and_the_options_of_its_methods():
    words = "digits --methods simclr,vicreg --out out --epochs 5 --seeds 2 --variance 3 --starts scratch,a.pth".split()
    found = words_of_commands.comparison_of(words, "")
    assert found == dict(
        data="digits", methods="simclr,vicreg", out=Path("out"), epochs=5, seeds=2, protocols="knn,linear,fewshot",
        starts="scratch,a.pth", variance=3.0,
    )  # fmt: skip
    for stray in ("--momentum", "--seed", "--weights"):
        with pytest.raises(UsageError, match=f"unrecognized {stray}"):
            words_of_commands.comparison_of([*words, stray, "1"], "")


def test_help_names_defaults_and_rules():
    simple = Declaration("what it is, in %")
    assert words_of_commands.help_of(simple, (0.5, 1.0)) == "what it is, in %% (default: 0.5 1.0)"
    assert words_of_commands.help_of(simple, 0.2, 0.1).endswith("(default: 0.2; from 128 pixels on 0.1)")
    ruled = Declaration("what it is", auto=rules.stem)
    assert words_of_commands.help_of(ruled, None).endswith(f"(chosen: {rules.stem.__doc__})")
    shown = [words_of_commands.shown(value) for value in (None, (), "", True, {"a": [1]}, 3)]
    assert shown == ["none", "nothing", '""', "true", '{"a" = [1]}', "3"]
