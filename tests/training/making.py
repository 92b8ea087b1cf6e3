"""What these tests share: a tiny pretraining, the weights that it saved, and whether two states are one."""

import torch

import twofold
from tests.conftest import tiny
from twofold.storage import files


def pretrain(out, method="simclr", **settings):
    return twofold.pretrain(out=out, quiet=True, **tiny(method, **settings))


def weights(run):
    return files.load(run.path / "checkpoint.pt")["method"]


def assert_identical(a, b, where):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_identical(a[key], b[key], f"{where}: {key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_identical(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where
