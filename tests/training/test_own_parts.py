"""A method, a backbone and a distortion of somebody else's, by name, through every command; a module from Python."""

import re
import sys
import textwrap

import pytest
import torch
from torch import nn

import twofold
from tests.killing import KILLED, at_call, in_a_child
from twofold.cli import main
from twofold.errors import UsageError
from twofold.storage import metrics

PARTS = '''
"""Pulled, of nowhere.

family    contrastive
views     two
topology  shared weights
D         squared distance
A, B      repulsion
loss      both
"""

from dataclasses import dataclass

import torch
from torch import nn

import twofold
from twofold import losses, setting
from twofold.dist import gather

RECIPE = dict(optimizer="adamw", lr=0.002)


@dataclass(frozen=True, kw_only=True)
class Options:
    pull: float = setting(1.0, "weight of the distance", low=0)


class Pulled(twofold.Method):
    def __init__(self, backbone, setup, options):
        super().__init__(backbone)
        self.projector, self.pull = nn.Linear(setup.features, 16), options.pull

    def forward(self, batch, progress):
        x, y = (gather(self.projector(self.encode(view))) for view in batch.views)
        return twofold.Output({"energy": self.pull * losses.squared(x, y), "repulsion": losses.repulsion(x, y)}, (x, y))

    def collapsed_loss(self, batch_size):
        return 0.0


def network(width=8):
    layers = [nn.Conv2d(3, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


class Speckle(twofold.Distortion):
    def draw(self, n, random):
        return {"strength": random.uniform("strength", n, 0.0, 0.2)}

    def apply(self, images, drawn):
        return (images + drawn["strength"].to(images.device)[:, None, None, None]).clamp(0, 1)
'''
SMALL = (
    "--epochs 3 --limit 256 --batch-size 64 --save-every 3 --flip 0 --device cpu --knn-every 1 --precision fp32".split()
)


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The words of a pretraining all of whose parts come from a module in the present folder."""
    name = f"parts_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(PARTS).lstrip())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    named = ["--method", f"{name}:Pulled", "--backbone", f"{name}:network", "--distortions", f"{name}:Speckle"]
    yield ["pretrain", "digits", *named, "--backbone-arguments", "width", "12", "--pull", "2", *SMALL]
    sys.modules.pop(name, None)


def test_they_go_through_every_command(words, tmp_path, capsys):
    main([*words, "--out", "run"])
    run = twofold.Run.open("run")
    assert len(run.metrics) == 12
    assert run.recipe.options.pull == 2.0
    assert run.spec.features == 12
    main(["evaluate", "run", "--protocols", "knn,linear"])
    main(["diagnose", "run", "--images", "40"])
    main(["embed", "run", "digits", "--out", "v.npy"])
    main(["report", "run"])
    main(["export", "run", "--out", "weights.safetensors"])
    shown = capsys.readouterr().out
    assert "projector" in shown
    assert "Pulled" in (tmp_path / "run" / "report.html").read_text()

    lines = textwrap.dedent(shown[shown.index("load it with") :].partition("\n")[2])
    names = {}
    exec(lines, names)  # what `export` says loads it
    images = torch.rand(2, 3, 8, 8)
    expected = twofold.load_backbone("run")(images)
    torch.testing.assert_close(names["model"].eval()(images), expected)


def test_killed_and_resumed_they_are_the_same_to_the_bit(words):
    main([*words, "--out", "straight"])

    def killed():
        at_call(metrics.Metrics, "write", 8)
        main([*words, "--out", "killed"])

    assert in_a_child(killed) == KILLED
    main([*words, "--out", "killed"])
    one, other = (twofold.load_backbone(name).state_dict() for name in ("straight", "killed"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_what_a_distortion_does_is_seen(words):
    at = words.index("--distortions")
    main([*words, "--out", "with"])
    main([*words[:at], *words[at + 2 :], "--out", "without"])
    first = [twofold.Run.open(name).metrics[0]["loss"] for name in ("with", "without")]
    assert first[0] != first[1]


def test_a_module_from_python_is_given_again_in_another_process(tmp_path, monkeypatch):
    from twofold.nets import given

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 10, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    first = {key: value.clone() for key, value in network.state_dict().items()}
    settings = dict(method="simclr", epochs=2, limit=256, batch_size=64, projector=(16,), quiet=True, knn_every=0)
    run = twofold.pretrain("digits", backbone=network, out=tmp_path / "run", **settings)
    assert all(torch.equal(first[key], value) for key, value in network.state_dict().items())  # a copy was trained
    assert not torch.equal(run.backbone().state_dict()["0.weight"], first["0.weight"])
    torch.testing.assert_close(run.untrained().state_dict()["0.weight"], first["0.weight"])

    for name, empty in (("_modules", {}), ("_latest", {}), ("_own", given._Own())):  # as in another process
        monkeypatch.setattr(given, name, empty)
    with pytest.raises(UsageError, match="given as a Python object, a Sequential"):
        twofold.load_backbone(run)
    with pytest.raises(UsageError, match="given as a Python object"):
        twofold.evaluate(run, protocols="knn")
    with pytest.raises(UsageError, match=r"not of a network like the one that was given: it lacks weight$"):
        twofold.load_backbone(run, backbone=nn.Linear(3, 3))
    again = twofold.load_backbone(
        run, backbone=nn.Sequential(*(type(n)(3, 10, 3, 2) if i == 0 else n for i, n in enumerate(network)))
    )
    twofold.pretrain("digits", backbone=network, out=tmp_path / "run", **settings)  # goes on: it is already done
    torch.testing.assert_close(run.backbone().state_dict(), again.state_dict())
    assert re.search("already done", (tmp_path / "run" / "log.txt").read_text())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--method json:JSONDecoder", "json:JSONDecoder is no method"),
        ("--backbone json:dumpz", "json has no 'dumpz'; did you mean dump"),
        ("--backbone nowhere.nets:build", "cannot be imported: ModuleNotFoundError"),
        ("--backbone json:loads --image-size 8", "fails: TypeError"),
        ("--distortions json:loads", "json:loads"),
    ],
)
def test_wrong_parts_are_said_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["pretrain", "digits", *words.split(), "--epochs", "1"])
    err = capsys.readouterr().err
    assert end.value.code == 2
    assert err.count("\n") == 1
    assert re.search(said, err)
    assert list(tmp_path.iterdir()) == []
