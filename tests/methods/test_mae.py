"""The masked autoencoder's loss, against plain loops."""

import pytest

from tests.methods.making import loss_of, made
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
                total += (given[0][image, patch] - wanted).square().sum().item()
                count += len(wanted)
    assert count == 32 * round(0.75 * method.patches) * pixels.shape[2]
    assert loss.item() == pytest.approx(total / count, rel=1e-4)
