"""Batch norms over several processes: outputs, gradients and running statistics are those of one process."""

import copy

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from tests.together import together
from twofold import dist, launch
from twofold.batch import Chance, View
from twofold.nets.layers import keep
from twofold.nets.momentum import MomentumEncoder, shuffled
from twofold.nets.synchronised import synchronise

ROWS = 16
NETWORKS = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(6),
    "BatchNorm1d of sequences": lambda: nn.BatchNorm1d(6),
    "without weights": lambda: nn.BatchNorm1d(6, affine=False),
    "without running statistics": lambda: nn.BatchNorm1d(6, track_running_stats=False),
    "cumulative": lambda: nn.BatchNorm1d(6, momentum=None),
    "BatchNorm2d": lambda: nn.BatchNorm2d(6),
    "timm's, with an activation": lambda: BatchNormAct2d(6),
    "a network": lambda: nn.Sequential(
        nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 2), nn.BatchNorm2d(4)
    ),
}
SHAPES = {
    "BatchNorm1d of sequences": (6, 3),
    "BatchNorm2d": (6, 4, 4),
    "timm's, with an activation": (6, 4, 4),
    "a network": (6, 5, 5),
}


def passed(name):
    """Two training steps of a network on this process's rows: outputs of all rows, gradients, and the state."""
    torch.manual_seed(0)
    network = NETWORKS[name]().double().train()
    mine = slice(dist.rank() * ROWS // dist.world(), (dist.rank() + 1) * ROWS // dist.world())
    images = [torch.randn(ROWS, *SHAPES.get(name, (6,)), dtype=torch.float64) * 3 + 100 for _ in range(2)]
    weight = torch.randn(ROWS, dtype=torch.float64)
    network = synchronise(network)
    for every in images:
        rows = every[mine].clone().requires_grad_(True)
        output = dist.gather(network(rows)).flatten(1)
        (output.square().sum(1) * weight).mean().backward()
        dist.average_gradients(network.parameters())
    gradients = {key: value.grad for key, value in network.named_parameters()}
    return output.detach(), dist.gather(rows.grad) / dist.world(), gradients, network.state_dict()


def all_passed():
    with launch.processes():
        return {name: passed(name) for name in NETWORKS}


@pytest.fixture(scope="module")
def by_processes():
    found = {1: [all_passed()]}
    for world in (2, 4):
        codes, found[world] = together(world, all_passed)
        assert codes == [0] * world
    return found


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_several_processes_compute_what_one_does(name, world, by_processes):
    (alone,) = by_processes[1]
    for found in by_processes[world]:
        torch.testing.assert_close(found[name], alone[name], rtol=1e-10, atol=1e-12)
    assert alone[name][1].abs().max() > 1e-3


def keys_of(groups):
    """Keys of two batches in shuffled groups by a momentum encoder, and its state."""
    with launch.processes():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 3), nn.BatchNorm1d(3)).double().train()
        target = synchronise(MomentumEncoder((0.9, 1.0), network).train())
        mine = slice(dist.rank() * ROWS // dist.world(), (dist.rank() + 1) * ROWS // dist.world())
        found = []
        for step in range(2):
            images = torch.randn(ROWS, 3, 2, 2, dtype=torch.float64)
            found.append(shuffled(target, View(images[mine]), Chance(0, step, ROWS, mine), "keys", groups))
        return found, target.state_dict()


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_groups_of_keys_are_the_same_on_any_number_of_processes(groups):
    """Two groups on four processes: each is of two processes. Eight: each process has two."""
    alone = keys_of(groups)
    codes, found = together(4, keys_of, groups)
    assert codes == [0] * 4
    for each in found:
        torch.testing.assert_close(each, alone, rtol=1e-10, atol=1e-12)


class Own(nn.BatchNorm1d):
    def forward(self, x):
        return x


def test_keys_copies_and_other_norms_stay():
    network = timm.create_model("test_resnet", num_classes=0)
    keys = list(network.state_dict())
    assert list(synchronise(network).state_dict()) == keys
    copied = copy.deepcopy(network)
    synchronise(copied)  # twice is once
    images = torch.randn(4, 3, 32, 32)
    plain = timm.create_model("test_resnet", num_classes=0)
    plain.load_state_dict(network.state_dict())
    assert torch.equal(copied.train()(images), plain.train()(images))  # of one process
    kept, own = nn.BatchNorm1d(3), Own(3)
    keep(kept)
    for norm in (kept, own, nn.SyncBatchNorm(3)):
        before = type(norm)
        assert type(synchronise(norm)) is before
