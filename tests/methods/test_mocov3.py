"""MoCo v3's details for vision transformers."""

import torch

from tests.conftest import VIT
from tests.methods.making import loss_of, made


def test_patches_may_stay_as_they_were_drawn_and_the_predictor_may_end_in_a_norm():
    """The projection of patches gets no gradient and is the momentum encoder's, too; predictions are standardised."""
    method, batch = made("mocov3", **VIT, freeze_patches=True, last_norm=True)
    given = []
    method.predictor.register_forward_hook(lambda *arguments: given.append(arguments[-1]))
    loss_of(method, batch).backward()
    assert all(parameter.grad is None for parameter in method.backbone.patch_embed.parameters())
    assert method.backbone.blocks[0].attn.qkv.weight.grad.abs().sum() > 0
    for predicted in given:
        torch.testing.assert_close(predicted.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
        torch.testing.assert_close(predicted.std(0, correction=0), torch.ones(16), atol=1e-2, rtol=0)
    assert torch.equal(method.target.stages[0].patch_embed.proj.weight, method.backbone.patch_embed.proj.weight)
