"""A backbone that is looked at, not trained: its mode, its device, its precision, the normalisation of its input."""

import torch
from torch import Tensor, nn

from twofold import device as devices
from twofold.nets.backbone import BackboneSpec, evaluating
from twofold.nets.normalize import Normalize

PIXELS = 2**20
"""Of the images that pass a backbone at once: more are no faster, and take gigabytes (20 images of 224 x 224)."""


class Encoder:
    """From images to frozen features: [n, C, S, S] of any kind -> float32 [n, D] on the backbone's device.

    The backbone computes in eval mode, without gradients, in its own number type. Afterwards it is in the mode that it
    was in, so that one which is being trained can be looked at between two steps.

    Args:
        backbone: normalised images [n, C, S, S] -> features [n, D].
        spec: how its input is prepared.
        device: where the backbone is moved to, and stays; None: it is left where and as it is.
        precision: ``bf16`` runs in bfloat16 what torch deems safe in it; anything else, all in the backbone's own type.
    """

    def __init__(
        self, backbone: nn.Module, spec: BackboneSpec, device: torch.device | None = None, precision: str = "fp32"
    ) -> None:
        weight = next((p for p in backbone.parameters() if p.is_floating_point()), torch.empty(0))
        self.dtype, device_now = weight.dtype, weight.device
        self.backbone = backbone if device is None else devices.place(backbone, device, self.dtype)
        self.spec, self.device, self.precision = spec, device or device_now, precision
        self.normalize = Normalize(spec.mean, spec.std).to(self.device)
        self.layout = devices.layout(backbone, self.device)
        if self.device.type == "cpu":
            devices.reuse_memory()  # of the whole process, as a pretraining does

    def __call__(self, images: Tensor) -> Tensor:
        at_once = max(1, PIXELS // max(1, images.shape[-2] * images.shape[-1]))
        return torch.cat([self._pass(some) for some in images.split(at_once)])

    @torch.no_grad()
    def _pass(self, images: Tensor) -> Tensor:
        normalised = self.normalize(images.to(self.device)).to(self.dtype).contiguous(memory_format=self.layout)
        with evaluating(self.backbone), devices.autocast(self.device, self.precision):
            features: Tensor = self.backbone(normalised)
        return features.float()
