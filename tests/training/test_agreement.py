"""Processes that find another run, other images or another command end together, in one line, and write nothing."""

import os
import shutil

import numpy as np
import pytest
import torch

import twofold
from tests.conftest import picture, tiny
from tests.together import commanded, together
from tests.training.making import weights
from twofold import dist, launch
from twofold.errors import UsageError
from twofold.training import agreement

WORDS = (
    "pretrain images.npy --backbone resnet18 --batch-size 32 --epochs 2 --flip 0 --precision fp32 --knn-every 0 "
    "--save-every 1 --device cpu --resident yes --projector 32 16 "
    "--backbone-arguments layers [1,1,1,1] channels [8,8,16,16] zero_init_last false"
).split()


@pytest.fixture
def nodes(tmp_path):
    """The folders of two nodes, each with the same images."""
    folders = [tmp_path / f"node{number}" for number in range(2)]
    for folder in folders:
        folder.mkdir()
        np.save(folder / "images.npy", np.stack([picture(12, 12, i) for i in range(64)]))
    return folders


def go(rank, folders):
    os.chdir(folders[rank])
    agreement.SHOWN = 0.5


def refused(folders, *words, prepare=go):
    """The one line of a command that both processes end with, each in its node's folder."""
    codes, said, _ = commanded(2, [*WORDS, *words], prepare, folders)
    assert codes == [2, 2]
    assert len(said) == 1
    return said[0]


def test_a_run_that_one_node_does_not_have(nodes):
    commanded(1, [*WORDS, "--out", "run"], go, nodes)
    kept = sorted((path.name, path.stat().st_mtime_ns) for path in (nodes[0] / "run").iterdir())
    said = refused(nodes, "--out", "run")
    assert "all processes must share the run directory run, but process 0 on " in said
    assert "a run that has begun, process 1" in said
    assert not (nodes[1] / "run").exists()
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (nodes[0] / "run").iterdir()) == kept
    assert "no run that has begun, process 1" in refused(nodes[::-1], "--out", "run")


def look_at_the_checkpoint(folders):
    with launch.processes():
        try:
            agreement.one_checkpoint(twofold.Run(folders[dist.rank()]))
        except UsageError as error:
            return str(error)


def test_a_run_that_has_been_copied(nodes):
    """Two folders are two, even with the same files; and one folder that is not shown alike is no better."""
    commanded(1, [*WORDS, "--out", "run"], go, nodes)
    shutil.copytree(nodes[0] / "run", nodes[1] / "run")
    assert "nothing that process 0 has written" in refused(nodes, "--out", "run")
    runs = [node / "run" for node in nodes]
    assert together(2, look_at_the_checkpoint, runs)[1] == [None, None]
    (runs[1] / "checkpoint.before.pt").replace(runs[1] / "checkpoint.pt")
    one, two = together(2, look_at_the_checkpoint, runs)[1]
    assert one.partition(", but ")[2] == two.partition(", but ")[2]
    assert "finds a checkpoint with the digest" in one


def test_a_new_run_in_a_folder_that_nodes_do_not_share(nodes):
    said = refused(nodes, "--out", "run")
    assert "finds what process 0 has written, process 1" in said
    assert not (nodes[0] / "run" / "recipe.toml").exists()


def test_other_images_on_one_node(nodes, tmp_path):
    np.save(nodes[1] / "images.npy", np.stack([picture(12, 12, i + (i == 40)) for i in range(64)]))
    said = refused(nodes, "--out", tmp_path / "run")
    assert "all processes must have the same images images.npy, but process 0 on " in said
    assert not (tmp_path / "run").exists()


def test_images_that_one_node_lacks(nodes, tmp_path):
    """An error of one process is that of both, and neither waits."""
    (nodes[1] / "images.npy").unlink()
    assert "images.npy" in refused(nodes, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def go_and_ask_for_another_rate(rank, folders):
    go(rank, folders)
    return ["--lr", str(0.1 + rank)]


def test_another_command_on_one_node(nodes, tmp_path):
    said = refused(nodes, "--out", tmp_path / "run", prepare=go_and_ask_for_another_rate)
    assert "process 1 is to begin another run than process 0 (lr: 0.1 -> 1.1): give all the same command" in said
    assert not (tmp_path / "run").exists()


def run_of_modules(out):
    """A run whose backbone is given as a module, with other weights in each process."""
    torch.manual_seed(int(os.environ["RANK"]))
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), *POOLED
    )
    settings = tiny(
        "simclr", epochs=1, precision="fp64", backbone=network, backbone_arguments=None, device="cpu", knn_every=0
    )
    run = twofold.pretrain(out=out / os.environ["WORLD_SIZE"], quiet=True, **settings)
    return run.path


POOLED = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()


def test_all_begin_with_the_weights_of_the_first(tmp_path):
    found = [twofold.Run(together(world, run_of_modules, tmp_path)[1][0]) for world in (1, 2)]
    one, two = (weights(run) for run in found)
    torch.testing.assert_close(two, one, rtol=1e-7, atol=1e-9)


def test_one_process_agrees_with_itself(tmp_path):
    assert dist.world() == 1
    assert not agreement.begun(twofold.Run(tmp_path))
    agreement.one_folder(twofold.Run(tmp_path))
    assert list(tmp_path.iterdir()) == []
