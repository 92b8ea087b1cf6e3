"""A run goes on from its own checkpoint, on its own images, or not at all."""

import errno
import os
import random
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import picture
from tests.killing import KILLED, at_call, in_a_child
from tests.training.making import assert_identical, pretrain, weights
from twofold.errors import UsageError
from twofold.recipe import recipe, toml
from twofold.run import CHECKPOINTS, Run
from twofold.storage import files, metrics
from twofold.training import checkpoint


@pytest.mark.parametrize("method", ["simclr", "pirl"])
def test_changed_data_are_refused(method, tmp_path):
    """Also by a method that keeps an entry for each image."""
    images = np.stack([picture(12, 12, i) for i in range(70)])
    settings = dict(method=method, data=tmp_path / "images.npy", epochs=1, knn_every=0)
    np.save(tmp_path / "images.npy", images)
    pretrain(tmp_path / "run", **settings)
    more = np.concatenate([images, images])
    for changed, words in ((images[::-1], "70 other"), (images[:66], "70 images, not 66"), (more, "not 140")):
        np.save(tmp_path / "images.npy", changed)
        with pytest.raises(UsageError, match=words):
            pretrain(tmp_path / "run", **settings)


SETTINGS = dict(epochs=3, save_every=4)
"""12 steps, saved after 4, 8 and 12 of them."""
KILLED_AT = 11


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run that was killed in its eleventh step, so its checkpoints have 4 and 8; and one that was not."""
    root = tmp_path_factory.mktemp("killed")

    def work():
        at_call(metrics.Metrics, "write", KILLED_AT)
        pretrain(root / "run", **SETTINGS)

    assert in_a_child(work) == KILLED
    return root / "run", pretrain(root / "straight", **SETTINGS)


@pytest.fixture
def copy(killed, tmp_path):
    """A copy of the killed run, and what it must end as."""
    shutil.copytree(killed[0], tmp_path / "run")
    return tmp_path / "run", killed[1]


def goes_on(path, straight):
    """What a run says that goes on and must end as the one that was not killed, to the bit."""
    run = pretrain(path, **SETTINGS)
    ours, theirs = (files.load(each / "checkpoint.pt") for each in (path, straight.path))
    assert ours["step"] == theirs["step"] == 12
    for part in ("method", "optimizer"):
        assert_identical(ours[part], theirs[part], part)
    assert [row["loss"] for row in run.metrics] == [row["loss"] for row in straight.metrics]
    assert recipe_of(run) == recipe_of(straight)
    return (path / "log.txt").read_text()


def recipe_of(run):
    return recipe.replace(run.recipe, out="here")


def flipped(path, place, bit=0):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def test_the_last_two_are_kept_and_hold_the_recipe(copy):
    path, _ = copy
    last, before = (files.load(path / name) for name in CHECKPOINTS)
    assert (last["step"], before["step"]) == (8, 4)
    assert last["recipe"] == (path / "recipe.toml").read_text()
    assert not list(path.glob(".checkpoint*"))


def test_every_flipped_bit_is_found(killed, tmp_path):
    """At 100 places, and 100 more in the file's own directory: it is refused, or it is in what nothing reads."""
    path = tmp_path / "checkpoint.pt"
    content = (killed[0] / "checkpoint.pt").read_bytes()
    expected, dice, refused = files.load(killed[0] / "checkpoint.pt"), random.Random(0), []
    places = [dice.randrange(len(content)) for _ in range(100)]
    places += dice.sample(range(content.index(b"PK\x01\x02"), len(content)), 100)
    for place in places:
        path.write_bytes(content)
        flipped(path, place, dice.randrange(8))
        try:
            loaded = files.load(path)
        except UsageError as error:
            refused.append(str(error))
        else:
            assert_identical(loaded, expected, place)
    assert all(said.startswith(f"{path} is damaged") and "\n" not in said for said in refused)
    assert len(refused) > 120  # the others are in padding, in times, in attributes


@pytest.mark.parametrize("damage", ["a bit", "half", "empty", "missing"])
def test_a_damaged_one_is_named_and_the_one_before_it_is_gone_on_from(damage, copy):
    path, straight = copy
    file = path / "checkpoint.pt"
    if damage == "a bit":
        flipped(file, file.stat().st_size // 2)
    elif damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 if damage == "half" else 0])
    said = goes_on(path, straight)
    assert f"{file} is {'missing' if damage == 'missing' else 'damaged'}" in said
    assert "the run goes on from the checkpoint before it" in said
    assert f"{path} goes on at step 4 of 12" in said
    assert [files.load(path / name)["step"] for name in CHECKPOINTS] == [12, 8]


def test_two_damaged_ones_are_named_and_nothing_is_written(copy):
    path, _ = copy
    for name in CHECKPOINTS:
        flipped(path / name, (path / name).stat().st_size // 2)
    (path / ".lock").unlink()  # the killed run's
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(UsageError, match=r"checkpoint\.pt is damaged.*checkpoint\.before\.pt is damaged.*start anew$"):
        pretrain(path, **SETTINGS)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_damaged_one_of_a_finished_run_is_said_by_whoever_needs_it(copy):
    path, straight = copy
    shutil.copytree(straight.path, path, dirs_exist_ok=True)
    flipped(path / "checkpoint.pt", 5000)
    with pytest.raises(UsageError, match=r"checkpoint\.pt is damaged .* goes on from the checkpoint before it$"):
        Run(path).method()
    goes_on(path, straight)


@pytest.mark.parametrize("damage", ["missing", "no TOML", "cut", "another seed", "another method"])
def test_a_lost_recipe_is_no_loss(damage, copy, caplog):
    path, straight = copy
    file = path / "recipe.toml"
    text = file.read_text()
    changed = {
        "no TOML": text[:-30] + "\x00" + text[-30:],
        "cut": text[: text.index("\n# augment")],
        "another seed": text.replace("seed = 0", "seed = 1"),
        "another method": text.replace('"simclr"', '"vicreg"'),
    }
    file.unlink() if damage == "missing" else file.write_text(changed[damage])
    assert recipe_of(Run.open(path)) == recipe_of(straight)
    assert "recipe" in caplog.text
    goes_on(path, straight)
    assert toml.read(file) == {**toml.parsed(text, file), "out": str(path)}


def test_how_a_run_is_carried_out_may_be_changed_in_its_recipe(copy, caplog):
    file = copy[0] / "recipe.toml"
    file.write_text(file.read_text().replace('data = "digits"', 'data = "moved"'))
    assert Run(copy[0]).recipe.data == "moved"
    assert caplog.text == ""


def test_metrics_that_lack_steps_are_said(copy):
    path, straight = copy
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (path / "metrics.jsonl").write_text("".join([*lines[:2], lines[2].replace('"step"', '"stop"'), *lines[3:5]]))
    run = pretrain(path, **SETTINGS)
    assert [row["step"] for row in run.metrics] == [0, 1, 3, 4, 8, 9, 10, 11]
    assert "metrics.jsonl lacks 4 of the 8 steps that are done, the first 2" in (path / "log.txt").read_text()
    assert_identical(files.load(path / "checkpoint.pt")["method"], weights(straight), "method")
    (path / "metrics.jsonl").unlink()
    pretrain(path, **SETTINGS)
    assert "metrics.jsonl lacks 12 of the 12 steps" in (path / "log.txt").read_text()


def test_without_hard_links_two_are_kept_too(monkeypatch, tmp_path):
    def unable(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", unable)
    run = pretrain(tmp_path / "run", **SETTINGS)
    assert [files.load(run.path / name)["step"] for name in CHECKPOINTS] == [12, 8]


@pytest.mark.parametrize("part", ["method", "optimizer"])
def test_what_does_not_fit_is_said_in_one_line(part, tmp_path):
    run = pretrain(tmp_path / "run", epochs=1)
    state = files.load(run.path / "checkpoint.pt")
    changed = dict(state[part])
    changed.popitem() if part == "method" else changed.update(param_groups=changed["param_groups"][:1])
    files.save(run.path / "checkpoint.pt", state | {part: changed, "version": "0.3.0"})
    with pytest.raises(UsageError, match=r"run cannot go on: what twofold 0\.3\.0 saved .* choose another --out$"):
        pretrain(tmp_path / "run", epochs=1)


def test_weights_optimizer_and_time_come_back(tmp_path):
    method, other = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer, again = (torch.optim.SGD(module.parameters(), 0.1, momentum=0.9) for module in (method, other))
    data = {"images": 9, "fingerprint": "ab"}
    for done in (1, 2):
        method(torch.ones(4, 3)).sum().backward()
        optimizer.step()
        checkpoint.save(tmp_path, method, optimizer, done, 2.5 * done, data, "")
    assert checkpoint.load(tmp_path, other, again, data, "photos") == (2, 5.0, [])
    for module, steps in ((method, optimizer), (other, again)):
        module.zero_grad()
        module(torch.ones(4, 3)).sum().backward()
        steps.step()
    assert torch.equal(method.weight, other.weight)  # the momentum is there too
