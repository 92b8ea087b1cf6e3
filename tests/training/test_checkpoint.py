"""A run goes on from its own checkpoint, on its own images, or not at all."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import picture
from tests.training.making import pretrain
from twofold import files
from twofold.errors import UsageError
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


def test_a_damaged_checkpoint_is_said(tmp_path):
    run = pretrain(tmp_path / "run", epochs=1)
    file = run.path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UsageError, match="damaged"):
        pretrain(tmp_path / "run", epochs=1)


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
