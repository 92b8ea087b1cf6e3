"""Optimizers and what they exempt."""

import torch

from twofold.training.optimizer import create_optimizer


def test_norms_and_biases_are_exempt_from_decay():
    from twofold.nets.backbone import BackboneSpec

    method = torch.nn.Module()
    method.backbone = BackboneSpec("test_vit", {"img_size": 32}, "default", 32, (), ()).build()
    optimizer = create_optimizer(method, "adamw", 0.1, 0.9)
    decayed, exempt = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    for name, parameter in method.backbone.named_parameters():
        free = parameter.ndim == 1 or name in ("pos_embed", "cls_token")
        assert (id(parameter) in exempt) == free, name
        assert (id(parameter) in decayed) != free, name
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
