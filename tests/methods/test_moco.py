"""MoCo's details: when keys enter the queue, and the groups that they are computed in."""

import math

import torch

from tests.methods.making import loss_of, made
from tests.training.making import pretrain


def test_moco_takes_keys_after_the_loss():
    """The first batch meets random keys; the second meets the first's, which came out of the momentum encoder."""
    method, batch = made("moco", queue=64, key_groups=1)
    before = method.queue.rows.clone()
    loss_of(method, batch)
    with torch.no_grad():
        keys = [method.target(view) for view in batch.views]
    torch.testing.assert_close(method.queue.rows, torch.cat(keys), rtol=1e-4, atol=1e-5)
    again, _ = made("moco", queue=64, key_groups=1)
    assert torch.equal(again.queue.rows, before)
    again.queue.enqueue(torch.cat(keys))
    assert loss_of(again, batch).item() != loss_of(made("moco", queue=64, key_groups=1)[0], batch).item()


def test_a_batch_that_leaves_a_group_of_one_runs(tmp_path):
    assert math.isfinite(pretrain(tmp_path / "run", "moco", batch_size=25, limit=50, epochs=1).metrics[-1]["loss"])
