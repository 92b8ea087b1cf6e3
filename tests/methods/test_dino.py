"""DINO's details: the teacher's temperature and center."""

import pytest
import torch

from tests.methods.making import loss_of, made
from twofold.batch import cat


def test_dino_warms_its_teacher_up_and_centres_it():
    """t' from 0.04 to 0.07 over the warm-up, then 0.07; center <- 0.9 center + 0.1 mean of the teacher's outputs."""
    options = dict(teacher_temperature=(0.04, 0.07), teacher_warmup=0.4)
    for progress, temperature in ((0.0, 0.04), (0.2, 0.055), (0.4, 0.07), (0.9, 0.07)):
        warming, batch = made("dino", **options)
        fixed, _ = made("dino", teacher_temperature=(temperature, temperature))
        assert loss_of(warming, batch, progress).item() == pytest.approx(
            loss_of(fixed, batch, progress).item(), rel=1e-5
        )
    method, batch = made("dino")
    with torch.no_grad():
        outputs = method.target(cat(batch.views))  # together, as batch norm sees them
    loss_of(method, batch)
    torch.testing.assert_close(method.center, 0.1 * outputs.mean(0, keepdim=True), rtol=1e-3, atol=1e-6)
