"""Masked autoencoder, arXiv 2111.06377.

family    generative
views     one; the encoder sees its unmasked patches only
topology  vision transformer without the masked patches; a small transformer decodes all tokens, the class token too
D         mean squared error of the masked patches' pixels
A, B      none: the target is the image itself
loss      mean over masked patches of (decoded - pixels standardised over the patch)^2
"""

from dataclasses import dataclass

import torch
from timm.models import named_apply
from timm.models.vision_transformer import Block, init_weights_vit_jax
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import dist
from twofold.augment.masks import hidden, masked, of_hidden
from twofold.batch import Batch, View
from twofold.errors import UsageError
from twofold.losses import squared
from twofold.methods.base import Method, Output, Setup
from twofold.nets.vit import patch_size, patchify, sines, tokens, transformer
from twofold.recipe.settings import setting

RECIPE = dict(
    backbone="vit_tiny_patch16_224", pool="average",
    weight_decay=0.05, mask=(0.75, 0.0), jitter=0.0, grayscale=0.0,
)  # fmt: skip

MASKED = 0.75  # share of the patches that is hidden where the views do not say
HEAD = 32  # width of an attention head of the decoder


@dataclass(frozen=True, kw_only=True)
class Options:
    decoder_width: int = setting(128, "width of the decoder's tokens, a multiple of 32", low=32)
    decoder_depth: int = setting(2, "number of blocks of the decoder", low=1)
    normalize: bool = setting(
        True, "whether the target is pixels standardised over their patch, not pixels as they are"
    )


class MAE(Method):
    VIEWS, MULTI_CROP, MASK = 1, False, "needed"
    decoder_pos_embed: Tensor

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        vit, width = transformer(backbone, "a masked autoencoder"), options.decoder_width
        if width % HEAD:
            raise UsageError(f"decoder_width must be a multiple of {HEAD}, not {width}")
        if patch_size(backbone) == 1:
            raise UsageError("patches of one pixel leave nothing to predict from them: set a larger --image-size")
        self.side, self.prefix = patch_size(backbone), vit.num_prefix_tokens
        self.patches_a_side = setup.size // self.side
        self.patches = self.patches_a_side**2
        self.decoder_embed = nn.Linear(vit.embed_dim, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        places = F.pad(sines(self.patches_a_side, width), (0, 0, self.prefix, 0))
        self.register_buffer("decoder_pos_embed", places, persistent=False)
        self.decoder_blocks = nn.Sequential(
            *(Block(width, width // HEAD, qkv_bias=True) for _ in range(options.decoder_depth))
        )
        self.decoder_pred = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, setup.channels * self.side**2))
        for part in (self.decoder_embed, self.decoder_blocks, self.decoder_pred):
            named_apply(init_weights_vit_jax, part)
        self.normalize = options.normalize

    def forward(self, batch: Batch, progress: float) -> Output:
        view = batch.views[0]
        if view.ids_keep is None:  # a loop whose views are not masked
            view = masked(view, self.patches_a_side, MASKED, "random", batch.chance)
        assert view.ids_keep is not None
        every = self.in_chunks(lambda images, keep: tokens(self.backbone, View(images, keep)), *view)
        prefix, embedded = self.decoder_embed(every).tensor_split([self.prefix], 1)
        rows = view.ids_keep[:, :, None].expand(-1, -1, embedded.shape[-1])
        laid = self.mask_token.to(embedded.dtype).expand(len(view.images), self.patches, -1).scatter(1, rows, embedded)
        laid = torch.cat([prefix, laid], 1) + self.decoder_pos_embed
        decoded = self.decoder_pred(self.decoder_blocks(laid))[:, self.prefix :]
        wanted = patchify(view.images, self.side)
        if self.normalize:
            wanted = F.layer_norm(wanted, wanted.shape[-1:], eps=1e-6)
        gone, count = hidden(view, self.patches), self.patches - view.ids_keep.shape[1]
        loss = dist.mean(squared(of_hidden(decoded, gone, count), of_hidden(wanted, gone, count)))
        return Output({"energy": loss}, (dist.gather(every[:, self.prefix :].mean(1)),))

    def collapsed_loss(self, batch_size: int) -> float:
        return 1.0
