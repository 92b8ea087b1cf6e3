"""The masked autoencoder's loss, against plain loops."""

import pytest
import torch

from tests.methods.making import inputs_of, loss_of, made
from twofold.nets.vit import patchify


def test_a_masked_autoencoder_is_judged_by_the_masked_patches_alone():
    """Against plain loops over what its decoder gives."""
    method, batch = made("mae")
    given = []
    hook = method.decoder_pred.register_forward_hook(lambda *args: given.append(args[-1]))
    loss = loss_of(method, batch)
    hook.remove()
    view, total, count = batch.views[0], 0.0, 0
    pixels = patchify(view.images, method.side)
    for image in range(len(view.images)):
        for patch in range(method.patches):
            if patch not in view.ids_keep[image].tolist():
                wanted = pixels[image, patch]
                wanted = (wanted - wanted.mean()) / (wanted.var(correction=0) + 1e-6).sqrt()
                total += (given[0][image, 1 + patch] - wanted).square().sum().item()
                count += len(wanted)
    assert count == 32 * round(0.75 * method.patches) * pixels.shape[2]
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


def test_the_class_token_enters_the_decoder():
    """Against a plain loop: the class token, then at each patch's place its token or the mask's, with positions."""
    method, batch = made("mae")
    view, layer = batch.views[0], method.decoder_embed
    (encoded,) = inputs_of(layer, lambda: loss_of(method, batch))
    (laid,) = inputs_of(method.decoder_blocks, lambda: loss_of(method, batch))
    for image, kept in enumerate(view.ids_keep.tolist()):
        expected = [layer(encoded[image, 0])]
        for patch in range(method.patches):
            seen = patch in kept
            expected.append(layer(encoded[image, 1 + kept.index(patch)]) if seen else method.mask_token)
        torch.testing.assert_close(laid[image], torch.stack(expected) + method.decoder_pos_embed)
