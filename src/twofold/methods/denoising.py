"""Denoising autoencoder, ICML 2008 (Vincent et al.).

family    generative
views     one; the encoder sees it with Gaussian noise and, on demand, without some of its pixels
topology  the backbone's one vector an image is the bottleneck; a convolutional decoder
D         mean squared error of the pixels
A, B      none: the target is the clean image
loss      mean over pixels of (decoded(noisy) - clean)^2, images normalised
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn
from torch.nn import functional as F

from twofold import dist
from twofold.batch import Batch, View
from twofold.losses import squared
from twofold.methods.base import Method, Output, Setup
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.4, 1.0), jitter=0.0, grayscale=0.0)
START = 4  # side of the map that decoding begins with; it doubles until the image's is reached


@dataclass(frozen=True, kw_only=True)
class Options:
    noise: float = setting(0.5, "standard deviation of the noise, as a multiple of the data's", low=0)
    dropped: float = setting(0.0, "share of the pixels that are replaced by the mean", low=0, high=1)
    decoder_width: int = setting(
        128, "channels of the decoder's first map; each doubling of its side halves them, down to 16", low=32
    )


class Denoising(Method):
    VIEWS, MULTI_CROP, MASK = 1, False, "refused"

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        doublings = max(1, (setup.size // START - 1).bit_length())
        widths = [max(16, options.decoder_width >> i) for i in range(doublings + 1)]
        layers: list[nn.Module] = [nn.Linear(setup.features, widths[0] * START**2), nn.Unflatten(1, (-1, START, START))]
        for before, after in pairwise(widths):
            layers += [nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1)]
        self.decoder = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(widths[-1], setup.channels, 3, padding=1))
        self.o = options

    def forward(self, batch: Batch, progress: float) -> Output:
        clean = batch.views[0].images
        seen = clean + self.o.noise * batch.chance.normal("noise", *clean.shape[1:]).to(clean.dtype)
        if self.o.dropped > 0:
            seen = seen * (batch.chance.uniform("dropped", 1, *clean.shape[2:]) >= self.o.dropped)
        features = self.encode(View(seen))
        decoded = F.interpolate(self.decoder(features), clean.shape[-2:], mode="bilinear")
        return Output({"energy": dist.mean(squared(decoded, clean))}, (dist.gather(features),))

    def collapsed_loss(self, batch_size: int) -> float:
        return 1.0
