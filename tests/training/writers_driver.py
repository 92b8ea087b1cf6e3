"""Run by test_writers.py: runs with writers, killed at their eighth step and resumed.

    python -m tests.training.writers_driver DIRECTORY

Each attempt is a fork of this process; prints the exit codes as JSON.
"""

import json
import sys
from pathlib import Path

import torch

import twofold
from tests.conftest import tiny
from tests.killing import at_call, in_a_child
from twofold.storage import metrics

torch.set_num_threads(1)
BOTH = "tensorboard,wandb"


def pretrain(out, writers, **settings):
    return twofold.pretrain(out=out, quiet=True, writers=writers, **tiny("simclr", **{"save_every": 3, **settings}))


def killed(out, writers, **settings):
    at_call(metrics.Metrics, "write", 8)
    pretrain(out, writers, **settings)


def without(out):
    """Without being asked for, neither is begun: timm imports wandb where it is installed, which sends nothing."""
    pretrain(out, "")
    assert "torch.utils.tensorboard" not in sys.modules
    assert sys.modules["wandb"].run is None


def main(root):
    codes = {
        "without": [in_a_child(lambda: without(root / "without"))],
        "resumed": [
            in_a_child(lambda: killed(root / "resumed", BOTH)),
            in_a_child(lambda: pretrain(root / "resumed", BOTH)),
        ],
        "later": [
            in_a_child(lambda: killed(root / "later", "")),
            in_a_child(lambda: pretrain(root / "later", BOTH)),
        ],
        "anew": [  # killed before its first checkpoint, then given with another seed: that is another run
            in_a_child(lambda: killed(root / "anew", BOTH, save_every=100)),
            in_a_child(lambda: pretrain(root / "anew", BOTH, seed=1)),
        ],
    }
    print(json.dumps(codes))


main(Path(sys.argv[1]))
