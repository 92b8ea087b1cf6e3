"""What these tests share: methods made small, and what they make of a batch."""

import torch

from tests.conftest import batch_of, resolved, tiny
from twofold.methods.building import backbone_spec, build_method

IMAGES = 256


def made(name, **settings):
    """A tiny method and a batch of 32 images."""
    wanted = resolved(images=IMAGES, **tiny(name, **settings))
    method = build_method(wanted, backbone_spec(wanted), IMAGES).train()
    random = torch.Generator().manual_seed(0)
    x = torch.randn(32, 3, wanted.image_size, wanted.image_size, generator=random)
    noisy = x + 0.3 * torch.randn(x.shape, generator=random)
    return method, batch_of(method, wanted, (x, noisy))


def loss_of(method, batch, progress=0.5):
    return method(batch, progress).loss


def inputs_of(module, call):
    """What a module is given while something is called."""
    given = []
    hook = module.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    call()
    hook.remove()
    return given
