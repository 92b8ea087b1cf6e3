"""A run directory from a stranger, through every command: no code is run, no network reached, no link followed."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import twofold
from tests.cli.running import twofold as command
from tests.conftest import tiny
from twofold.cli import words
from twofold.errors import UsageError
from twofold.nets.backbone import arguments_of
from twofold.recipe import toml
from twofold.recipe.foreign import PERMIT
from twofold.storage import files

COMMANDS = {
    "embed": ["embed", "run", "digits", "--out", "v.npy"],
    "export": ["export", "run", "--out", "w.safetensors"],
    "evaluate": ["evaluate", "run", "--protocols", "knn"],
    "diagnose": ["diagnose", "run", "--images", "20"],
    "report": ["report", "run", "--points", "20"],
    "pretrain": [
        *"pretrain digits --out run --backbone resnet18 --limit 256 --batch-size 64 --epochs 2 --flip 0".split(),
        *"--precision fp32 --projector 32 16 --knn-every 1 --backbone-arguments layers [1,1,1,1]".split(),
        *"channels [8,8,16,16] zero_init_last false".split(),
    ],
    "start": "pretrain digits --out new --weights run --epochs 1 --backbone resnet18".split(),
    "recipe": "pretrain digits --recipe run/recipe.toml --out new".split(),
}
OWN_CODE = "names code that would be run"


class Marking:
    """What makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("reached",)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return twofold.pretrain(out=tmp_path_factory.mktemp("made") / "run", quiet=True, **tiny("simclr", epochs=2)).path


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """The run of a stranger in the present folder, where a module lies too; whoever asks for the network fails."""
    shutil.copytree(made, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv(PERMIT, raising=False)
    for place in (tmp_path, tmp_path / "run"):
        (place / "stranger.py").write_text('import os\nos.mkdir("reached")\n\ndef build(**_): ...\n')
    (tmp_path / "run" / "evil.pth").write_bytes(pickle.dumps(Marking()))

    def asked(*_, **__):
        Path("reached").mkdir()
        raise OSError("there is no network")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.setattr(socket.socket, "connect", asked)
    yield tmp_path / "run"
    sys.modules.pop("stranger", None)
    assert not (tmp_path / "reached").exists()


def described(run, **changes):
    """Have backbone.json say something else."""
    path = run / "backbone.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def recorded(run, **changes):
    """Have recipe.toml, and the recipe in the checkpoint, say something else."""
    settings = {**toml.read(run / "recipe.toml"), **changes}
    text = "".join(f"{name} = {toml.value_text(value)}\n" for name, value in settings.items())
    (run / "recipe.toml").write_text(text)
    state = files.load(run / "checkpoint.pt")
    files.save(run / "checkpoint.pt", state | {"recipe": text})


def refused(capsys, name, words):
    code, _, said = command(capsys, *COMMANDS[name])
    assert code == 2, said
    last = said.splitlines()[-1]
    assert last.startswith("twofold: ")
    assert words in last
    assert "Traceback" not in said


ARGUMENTS = [
    {"checkpoint_path": "run/evil.pth"},
    {"pretrained": True},
    {"pretrained": True, "pretrained_cfg": {"url": "http://stranger.example/weights.pth"}},
    {"pretrained": True, "pretrained_cfg": {"file": "run/evil.pth"}},
    {"pretrained": True, "pretrained_cfg_overlay": {"hf_hub_id": "stranger/model"}},
    {"cache_dir": "elsewhere"},
    {"features_only": True},
]
NAMES = ["hf-hub:stranger/model", "hf_hub:stranger/model", "local-dir:run", "timm:resnet18", "resnet18/../evil", "run"]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_a_backbones_arguments_are_those_of_its_network(arguments, run, capsys):
    described(run, arguments=arguments)
    for name in ("embed", "export"):
        refused(capsys, name, "has no argument")
    described(run, arguments={})
    recorded(run, backbone_arguments=arguments)
    for name in ("recipe", "pretrain"):
        refused(capsys, name, "has no argument" if name == "recipe" else "holds another run")
    (run / "backbone.json").unlink()
    refused(capsys, "diagnose", "has no argument")


@pytest.mark.parametrize("backbone", NAMES)
def test_a_backbone_is_one_of_timms_own(backbone, run, capsys):
    said = OWN_CODE if backbone == "timm:resnet18" else f"timm has no model {backbone!r}"
    described(run, name=backbone)
    for name in ("embed", "export", "evaluate"):
        refused(capsys, name, said)
    recorded(run, backbone=backbone)
    refused(capsys, "recipe", said)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("backbone", ["os:system", "stranger:build"])
def test_a_function_that_a_run_names_is_not_called(backbone, name, run, capsys):
    described(run, name=backbone, arguments={"command": "mkdir reached"})
    recorded(run, backbone=backbone, backbone_arguments={"command": "mkdir reached"})
    refused(capsys, name, f"{OWN_CODE}, {backbone}: if you trust it, add --permit {backbone.partition(':')[0]} to")


@pytest.mark.parametrize("part", [{"method": "stranger:Method"}, {"distortions": ["stranger:Fog"]}], ids=str)
def test_a_method_and_a_distortion_that_a_run_names_are_not_imported(part, run, capsys):
    recorded(run, **part)
    for name in ("evaluate", "diagnose", "report", "recipe", "pretrain"):
        refused(capsys, name, OWN_CODE)
    for name in ("embed", "export"):  # which need neither
        code, _, said = command(capsys, *COMMANDS[name])
        assert code == 0, said


@pytest.mark.parametrize("how", ["--permit", PERMIT])
def test_what_is_permitted_is_run(how, run, capsys, monkeypatch):
    (run.parent / "stranger.py").write_text((Path(__file__).parent / "networks.py").read_text())
    described(run, name="stranger:three_layers", arguments={}, stem="default", features=16)
    network = twofold.create_method("simclr", "tests.networks:three_layers", size=8, projector=(8,)).backbone
    files.save_tensors(run / "backbone.safetensors", {k: v.contiguous() for k, v in network.state_dict().items()})
    monkeypatch.setenv(PERMIT, "nobody,stranger" if how == PERMIT else "nobody")
    code, _, said = command(capsys, *COMMANDS["embed"], *(["--permit", "stranger"] if how == "--permit" else []))
    assert code == 0, said


ADDRESSES = ["s3://stranger/shards", "gs://stranger/a.tar", "hf://datasets/stranger/images", "https://stranger/a.tar"]


@pytest.mark.parametrize("data", ["hf:stranger/images", "torchvision:CIFAR10", "torchvision:MNIST", *ADDRESSES])
def test_data_that_a_recipe_names_are_not_downloaded(data, run, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    recorded(run, data=data)
    for name in ("evaluate", "diagnose"):
        refused(capsys, name, f"the run's recipe names {data}, which is not on this machine")
    code, _, _ = command(capsys, *COMMANDS["report"])
    assert code == 0
    assert "is not on this machine" in (run / "report.html").read_text()
    told = [word for word in COMMANDS["recipe"] if word != "digits"]
    code, _, said = command(capsys, *told)
    assert code == 2
    assert f"name it in the command too, {data}" in said


@pytest.mark.parametrize("asks", [{"weights": "published"}, {"method": "distill", "teacher": "resnet18"}], ids=str)
def test_weights_that_a_recipe_file_names_are_named_in_the_command_too(asks, tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('data = "digits"\n' + "".join(f"{name} = {value!r}\n" for name, value in asks.items()))
    name = "weights" if "weights" in asks else "teacher"
    with pytest.raises(UsageError, match=f"name it in the command too, --{name} {asks[name]}"):
        words.recipe_of(["--recipe", str(path)], "")
    assert words.recipe_of(["--recipe", str(path), f"--{name}", asks[name]], "").given[name] == asks[name]


@pytest.mark.parametrize("name", [".lock", "log.txt", "metrics.jsonl", "checkpoint.pt", "features", "start", "any"])
@pytest.mark.parametrize("there", [True, False])
def test_links_are_not_written_through(name, there, run, capsys, tmp_path):
    """Links to a file or a folder of somebody's, or to one that is not there and would be made."""
    folder = name in ("features", "start")
    precious = tmp_path / "precious"
    if there:
        precious.mkdir() if folder else precious.write_text("precious")
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(precious)
    refused(capsys, "pretrain", f"run/{name} is a symbolic link")
    if name == "features":
        refused(capsys, "evaluate", "features is a symbolic link")
    assert precious.exists() == there
    if there:
        assert not list(precious.iterdir()) if folder else precious.read_text() == "precious"


@pytest.mark.parametrize("name", [".lock", "log.txt", "metrics.jsonl"])
def test_a_pipe_is_not_waited_for(name, run, capsys):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    for asked in ("pretrain", "evaluate"):
        refused(capsys, asked, f"{name} is a pipe or a device")


def test_the_names_of_unfinished_files_are_no_way_out(tmp_path, monkeypatch):
    """A link under the name that a file has until it is whole is replaced, not followed."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / f".file.{os.getpid()}.partial").symlink_to(precious)
    files.write_text(tmp_path / "file", "new")
    assert precious.read_text() == "precious"
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize(
    "name", ["resnet18", "test_vit", "convnext_atto", "efficientnet_b0", "swin_tiny_patch4_window7_224"]
)
def test_what_a_network_may_be_told_loads_nothing(name):
    known = arguments_of(name)
    assert {"in_chans", "global_pool", "drop_rate"} <= known
    assert not {word for word in known if "pretrain" in word or "checkpoint" in word or "cache" in word}


def test_a_checkpoint_with_code_is_refused(run, capsys):
    torch.save({"method": Marking(), "step": 1}, run / "checkpoint.pt")
    refused(capsys, "diagnose", "checkpoint.pt is damaged")


MODULES = ("torch", "numpy", "PIL", "timm", "json", "socket", "pickle", "tarfile", "imagecodecs", "wandb", "yaml")


@pytest.fixture
def full_of_modules(tmp_path, monkeypatch):
    """A stranger's folder with modules that are called as those that are imported, or may be if they are there."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text("import os\nos.mkdir('reached')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(PERMIT, raising=False)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    yield tmp_path
    assert not (tmp_path / "reached").exists()


@pytest.mark.parametrize("how", [["-m", "twofold"], ["-P", "-m", "twofold"]], ids=" ".join)
def test_the_present_folder_is_no_place_for_modules(how, full_of_modules):
    done = subprocess.run([sys.executable, *how, "scan", "digits"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_nor_is_it_for_the_processes_of_a_comparison(full_of_modules):
    """Each is a Python of its own, which looks for its first modules before it is told where to look."""
    (full_of_modules / "driver.txt").write_text(
        "import multiprocessing, os, sys\n"
        "from twofold.comparison.running import SAFE_PATH, environment\n"
        "process = multiprocessing.get_context('spawn').Process(target=os.getpid)\n"
        "with environment({SAFE_PATH: '1'}):\n    process.start()\n"
        "process.join()\n"
        "sys.exit(process.exitcode)\n"
    )
    code = "import sys; sys.path.pop(0); exec(open('driver.txt').read())"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
