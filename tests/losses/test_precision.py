"""Losses are computed in float32 or better."""

import pytest
import torch

from tests.losses.plain import embeddings
from twofold import losses

OF_PAIRS = [losses.nt_xent, losses.vicreg, losses.barlow_twins, losses.negative_cosine, losses.margin_hinge]
OF_PAIRS += [losses.sigreg, lambda x, y: losses.multi_crop([x, y], (y, x))]
OF_ONE = [losses.uniformity, losses.koleo, losses.coding_rate, losses.norm_hinge, losses.variance, losses.covariance]


@pytest.mark.parametrize("loss", [*OF_PAIRS, *(lambda x, _, loss=loss: loss(x) for loss in OF_ONE)])
def test_half_precision_is_raised(loss):
    """In bf16 and under autocast a loss is what float32 makes of the same numbers."""
    x, y = (e.detach().bfloat16() for e in embeddings(16, 8, 2))
    expected = loss(x.float(), y.float())
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(x, y), expected, rtol=0, atol=0)
