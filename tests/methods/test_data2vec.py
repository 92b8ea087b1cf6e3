"""data2vec's target, computed anew block by block."""

import torch

from tests.methods.making import loss_of, made


def test_data2vec_regresses_the_mean_of_the_teachers_last_blocks():
    """Each token standardised over its features in each block, and their mean again; only where a mask was seen."""
    method, batch = made("data2vec", blocks=2)
    images = batch.views[0].images
    teacher = method.target.stages[0]
    with torch.no_grad():
        tokens = teacher._pos_embed(teacher.patch_embed(images))
        outputs = []
        for block in teacher.blocks:
            tokens = block(tokens)
            outputs.append(tokens[:, teacher.num_prefix_tokens :])
        parts = [
            (o - o.mean(2, keepdim=True)) / (o.var(2, correction=0, keepdim=True) + 1e-5).sqrt() for o in outputs[-2:]
        ]
        average = (parts[0] + parts[1]) / 2
        spread = (average.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
        expected = (average - average.mean(2, keepdim=True)) / spread
    torch.testing.assert_close(method.regression_target(images), expected, rtol=1e-3, atol=1e-4)
    loss = loss_of(method, batch).item()
    with torch.no_grad():
        method.mask_token.add_(torch.randn(method.mask_token.shape))
    assert loss_of(method, batch).item() != loss
