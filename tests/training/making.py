"""What these tests share: a tiny pretraining, and the weights that it saved."""

import twofold
from tests.conftest import tiny
from twofold import files


def pretrain(out, method="simclr", **settings):
    return twofold.pretrain(out=out, quiet=True, **tiny(method, **settings))


def weights(run):
    return files.load(run.path / "checkpoint.pt")["method"]
