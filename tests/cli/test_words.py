"""Words of a command line: what they stand for, and what is said of them."""

from tests.cli.running import twofold
from tests.conftest import encoded, picture, resolved
from twofold.recipe import recipe
from twofold.recipe.declared import methods
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
