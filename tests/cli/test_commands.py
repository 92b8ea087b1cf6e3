"""The command line: help without torch, exit codes, one line on stderr, and the commands end to end."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import twofold
from tests.conftest import encoded, picture, tiny
from twofold.cli import commands as cli
from twofold.diagnosis.causes import WORSE
from twofold.recipe import toml
from twofold.recipe.declared import methods
from twofold.run import Run

ROOT = Path(__file__).parents[2]


COMMANDS = [
    "--help",
    "pretrain --help",
    "pretrain --method byol --help",
    "evaluate --help",
    "methods",
    "methods vicreg",
    "claims --help",
]


def test_help_needs_no_torch_nor_does_a_wrong_name():
    """So that it is there at once: importing torch alone takes seconds."""
    wrong = ("pretrain", "compare", "scan", "pack --out a", "embed runs/a --out a.npy")
    ends = dict.fromkeys(COMMANDS, 0) | {f"{name} nowhere": 2 for name in wrong}
    lines = "\n".join(
        f"try: main({command.split()!r})\nexcept SystemExit as end: assert (end.code or 0) == {code}"
        for command, code in ends.items()
    )
    script = (
        f"import sys\nfrom twofold.cli.entry import main\n{lines}\nassert 'torch' not in sys.modules\nprint('light')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("light\n"), done.stderr


def test_the_overview_lists_every_command(capsys):
    code, out, _ = twofold(capsys)
    assert code == 0
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} +\w", out, re.M)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("pretrian digits", "did you mean pretrain"),
        ("pretrain", "DATA"),
        ("pretrain nowhere", "nowhere"),
        ("pretrain digits --method vicregg", "did you mean vicreg"),
        ("pretrain digits --epoch 3", "did you mean --epochs"),
        ("pretrain digits --epochs x", "--epochs"),
        ("pretrain digits --epochs 0", "epochs must be at least 1"),
        ("pretrain digits --crop-scale 0.5", "--crop-scale"),
        ("pretrain digits --optimizer adam", "optimizer must be lars or sgd or adamw"),
        ("pretrain digits --method vicreg --temperature 1", "--temperature"),
        ("pretrain digits --backbone resnet81", "did you mean resnet18"),
        ("pretrain digits --recipe nowhere.toml", "nowhere.toml"),
        ("pretrain digits --method joint --functionals varience:1 --projector 8", "did you mean variance"),
        ("pretrain digits --method joint --predictor maybe", "--predictor"),
        (
            "pretrain digits --method joint --codes sinkhorn --projector 8",
            "codes sinkhorn are for energy cross_entropy",
        ),
        ("pretrain digits --mask 0.5 0 --image-size 32 --backbone test_resnet", "artificial edges"),
        ("pretrain digits --method mae --image-size 32 --backbone test_resnet", "vision transformer"),
        ("pretrain digits --method mae --image-size 16 --backbone test_vit --mask 0 0", "needs a masked view"),
        ("pretrain digits --method jigsaw --backbone test_resnet --image-size 8", "larger --image-size"),
        (
            "pretrain digits --method rotation --image-size 32 --backbone test_resnet --small-crops 2",
            "no use for small crops",
        ),
        ("pretrain digits --writers wandb,tensorbord", "did you mean tensorboard"),
        ("evaluate nowhere digits", "no run, no file of weights and no timm model 'nowhere'"),
        ("embed nowhere digits --out v.parquet", "no run, no file of weights"),
        ("report nowhere", "no run at nowhere"),
        ("export nowhere --out x.safetensors", "no run, no file of weights"),
        ("export nowhere --out x.onnx", "x.onnx must end in .safetensors in the format timm (--format onnx writes"),
        ("export nowhere --out x --format coreml", "--format"),
        ("label nowhere.parquet nowhere.npy --out x.csv", "there is no file nowhere.parquet"),
        ("evaluate nowhere --device cpu digits", "no run, no file of weights"),
        ("evaluate nowhere --device cpu digits more", "unrecognized digits"),
        ("scan nowhere", "nowhere"),
        ("scan digits --threads none", "invalid whole number value: 'none'"),
        ("evaluate nowhere digits --seed none", "invalid whole number value: 'none'"),
        ("methods simclrr", "did you mean simclr"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = twofold(capsys, *words.split())
    assert code == 2
    assert out == ""
    assert err.startswith("twofold: ")
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []


SMALL = (
    "--backbone test_resnet --projector 16 --batch-size 16 --image-size 32 --workers 1 --device cpu --knn-every 1"
).split()


def test_from_a_folder_to_a_report(capsys, tmp_path, monkeypatch):
    """All commands in a row, on a folder of own images."""
    monkeypatch.chdir(tmp_path)
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(24):
            image = picture(48, 40 + 4 * (number % 3), number)
            image[..., 0] = image[..., 0] // (3 if kind == "dog" else 1)
            (tmp_path / "photos" / kind / f"<{number}>.jpg").write_bytes(encoded(image, "JPEG"))
    (tmp_path / "photos" / "cat" / "notes.png").write_text("no image")

    code, out, err = twofold(capsys, "pretrain", "photos", *SMALL, "--epochs", "2")
    assert (code, out) == (0, "runs/photos-simclr\n")
    assert "1 image cannot be read" in err
    run = Run.open("runs/photos-simclr")
    assert len(run.metrics) == 6

    code, out, _ = twofold(capsys, "pretrain", "--recipe", run.path / "recipe.toml", "--out", "runs/again")
    assert code == 0
    assert Run.open("runs/again").metrics[-1]["loss"] == run.metrics[-1]["loss"]

    code, out, _ = twofold(capsys, "evaluate", run.path, "photos", "--protocols", "knn,linear")
    assert code == 0
    assert re.search(r"linear +\d+\.\d ± \d+\.\d +\d+\.\d ± \d+\.\d +\d+\.\d ± \d+\.\d", out)
    assert json.loads((run.path / "evaluation.json").read_text())["data"]["train"] == 40
    before = (run.path / "evaluation.json").read_bytes()
    code, out, _ = twofold(capsys, "evaluate", run.path, "photos", "--protocols", "knn", "--out", "own.json")
    assert (code, out.splitlines()[-1]) == (0, "wrote own.json")
    assert list(json.loads(Path("own.json").read_text())["scores"]) == ["knn"]
    assert (run.path / "evaluation.json").read_bytes() == before

    code, out, _ = twofold(capsys, "embed", run.path, "photos", "--out", "v.npy")
    assert code == 0
    assert out.splitlines() == [
        "wrote v.npy: 48 vectors of 96 numbers",
        "1 image cannot be read and is left out:",
        "  cat/notes.png: not an image",
    ]
    assert np.load("v.npy").shape == (48, 96)
    code, out, _ = twofold(capsys, "embed", run.path, "photos", "--out", "v.npy")
    assert (code, out.splitlines()[0]) == (0, "v.npy is already done: 48 vectors of 96 numbers")

    code, out, _ = twofold(capsys, "embed", run.path, "photos", "--patches", "--out", "patches.npy")
    assert (code, out.splitlines()[0]) == (0, "wrote patches.npy: 768 vectors of 96 numbers")  # 4 x 4 an image
    assert Path("patches.index.csv").read_text().splitlines()[0] == '"path","label","row","column","x","y"'

    code, out, _ = twofold(capsys, "export", run.path, "--out", "weights.safetensors")
    assert code == 0
    assert "timm.create_model('test_resnet'" in out

    code, out, _ = twofold(capsys, "scan", "photos")
    assert code == 1
    assert "cat/notes.png: not an image" in out

    code, out, _ = twofold(capsys, "report", run.path)
    assert code == 0
    shown = re.sub(r"<script.*?</script>", "", (run.path / "report.html").read_text(), flags=re.S)
    assert shown.count('src="data:image/webp;base64,') == 6 * (1 + 3 * 2)  # six images with two views in three steps
    assert "http" not in shown  # nothing to load from elsewhere


@pytest.mark.parametrize("name", methods())
def test_every_method_goes_through_every_command(name, capsys, tmp_path):
    words = []
    for key, value in tiny(name, epochs=1, limit=64, batch_size=32, knn_every=0).items():
        if key in ("data", "method", "backbone_arguments"):
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{key.replace('_', '-')}", *(str(v).lower() for v in values)]
    arguments = tiny(name)["backbone_arguments"]
    if arguments:
        words += ["--backbone-arguments", *(w for k, v in arguments.items() for w in (k, toml.value_text(v)))]
    run = tmp_path / "run"
    code, out, err = twofold(capsys, "pretrain", "digits", "--method", name, *words, "--out", run)
    assert (code, out) == (0, f"{run}\n"), err
    code, out, err = twofold(capsys, "evaluate", run, "--protocols", "knn")
    assert code == 0, err
    assert "pretrained" in out
    code, out, err = twofold(capsys, "export", run, "--out", tmp_path / "backbone.safetensors")
    assert code == 0, err
    code, out, err = twofold(capsys, "diagnose", run, "--images", "20")
    assert code == 0, err
    found = json.loads((run / "diagnosis.json").read_text())
    assert (found["steps"], found["looks"]) == (2, 2)
    if found["findings"]:  # two steps may leave features worse than the untrained ones; they are no collapse
        assert [finding["name"] for finding in found["findings"]] == [WORSE]
        assert out.startswith(f"{WORSE}\n  seen: kNN is ")
    else:
        assert out.startswith("no sign of collapse in 2 steps, looked at 2 times")
    code, out, err = twofold(capsys, "report", run)
    assert code == 0, err


def test_a_loss_that_is_no_number_is_exit_code_3(capsys, tmp_path):
    words = f"pretrain digits --optimizer sgd --lr 1e30 --limit 64 --epochs 9 --out {tmp_path}/run".split()
    code, _, err = twofold(capsys, *words, *SMALL)
    assert code == 3
    assert err.splitlines()[-1].startswith("twofold: the loss is")


def test_a_changed_recipe_is_exit_code_2(capsys, finished):
    code, _, err = twofold(capsys, "pretrain", "--recipe", finished.path / "recipe.toml", "--epochs", "99")
    assert code == 2
    assert "epochs: 8 -> 99" in err
