"""What the denoising autoencoder sees."""

import pytest

from tests.methods.making import inputs_of, loss_of, made
from twofold.batch import Batch, Chance


def test_denoising_never_sees_the_clean_image():
    method, batch = made("denoising", noise=0.5, dropped=0.25)
    seen = inputs_of(method.backbone, lambda: loss_of(method, batch))
    clean = batch.views[0].images
    dropped = (seen[0] == 0).all(1)
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
    noise = (seen[0] - clean).movedim(1, -1)[~dropped]
    assert noise.std().item() == pytest.approx(0.5, abs=0.02)
    other = Batch(batch.views, batch.index, Chance(0, 1, 32, slice(None)))
    assert loss_of(method, other).item() != loss_of(method, batch).item()
