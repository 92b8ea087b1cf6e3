"""timm's vision transformers, step by step: some patches dropped, others replaced, tokens instead of one vector."""

import torch
from jaxtyping import Float
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from twofold.batch import View
from twofold.errors import UsageError


def transformer(backbone: nn.Module, what: str) -> VisionTransformer:
    """The backbone, if it is a vision transformer; ``what`` needs one.

    Raises:
        UsageError: if it is none.
    """
    if not isinstance(backbone, VisionTransformer):
        raise UsageError(
            f"{what} needs a vision transformer, as timm's vit_tiny_patch16_224 (--backbone); "
            f"{type(backbone).__name__} is none"
        )
    return backbone


def begin(vit: VisionTransformer) -> None:
    """The first weights of the masked autoencoder and MoCo v3: Xavier's, and positions by `sines`.

    timm's own have a deviation of 0.02 whatever the width, and positions that say nothing until they are learned: in a
    short run a small transformer is then worse than it was untrained. As timm has it, positions go on to be learned.
    """
    vit.init_weights("jax")
    rows, columns = vit.patch_embed.grid_size
    width, prefix = vit.embed_dim, 0 if vit.no_embed_class else vit.num_prefix_tokens
    with torch.no_grad():
        for layer in vit.patch_embed.modules():
            if isinstance(layer, nn.Conv2d):  # as if it were the linear layer that it is
                layer.weight.copy_(nn.init.xavier_uniform_(layer.weight.flatten(1)).view(layer.weight.shape))
        if vit.pos_embed is not None and width % 4 == 0 and rows == columns:
            vit.pos_embed[:, :prefix] = 0
            vit.pos_embed[:, prefix:] = sines(rows, width)


def sines(side: int, width: int) -> Float[Tensor, "places width"]:
    """The place of each patch of a square, row by row, as sines and cosines (arXiv 1706.03762, section 3.5, in 2-D).

    A quarter of the ``width`` each, which is a multiple of 4: sin and cos of column times w, sin and cos of row times
    w, with the frequencies w from 1 down to almost 1 / 10,000.
    """
    frequencies = 10_000.0 ** -(torch.arange(width // 4).double() / (width // 4))
    row, column = torch.meshgrid(*2 * [torch.arange(side).double()], indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (column, row)]
    return torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], 1).float()


def patch_size(backbone: nn.Module) -> int:
    """Side of a vision transformer's patch in pixels; 1 for other networks, which take any size."""
    return int(backbone.patch_embed.patch_size[0]) if isinstance(backbone, VisionTransformer) else 1


def tokens(backbone: nn.Module, view: View, hidden: Tensor | None = None, instead: Tensor | None = None) -> Tensor:
    """The transformer's output tokens, prefix tokens first: [n, prefix + patches, width].

    Only the patches of ``view.ids_keep`` go in (arXiv 2111.06377 section 3), and the work shrinks with them. Patches
    that are ``hidden`` (bool [n, patches]) are replaced by the embedding ``instead`` [width] and stay.
    """
    vit = transformer(backbone, "dropping patches")
    x = vit.patch_embed(view.images)
    if hidden is not None and instead is not None:
        x = torch.where(hidden.view(*x.shape[:-1], 1), instead.to(x.dtype), x)
    x = vit._pos_embed(x)
    if view.ids_keep is not None:
        prefix = vit.num_prefix_tokens
        rows = view.ids_keep[:, :, None].expand(-1, -1, x.shape[-1])
        x = torch.cat([x[:, :prefix], x[:, prefix:].gather(1, rows)], 1)
    out: Tensor = vit.norm(vit.blocks(vit.norm_pre(x)))
    return out


def encode(backbone: nn.Module, view: View) -> Tensor:
    """A view's features: [n, features]."""
    if view.ids_keep is None:
        return backbone(view.images)  # type: ignore[no-any-return]
    return transformer(backbone, "dropping patches").forward_head(tokens(backbone, view))


def block_outputs(backbone: nn.Module, images: Tensor, count: int) -> list[Tensor]:
    """The patches' tokens after each of the last ``count`` blocks, at most all: [n, patches, width] each."""
    vit = transformer(backbone, "the outputs of blocks")
    last = min(count, len(vit.blocks))
    outputs = vit.forward_intermediates(images, indices=last, output_fmt="NLC", intermediates_only=True)
    assert isinstance(outputs, list)
    return outputs


def patchify(images: Tensor, side: int) -> Tensor:
    """Images [n, c, s, s] as patches of ``side`` pixels, row by row: [n, patches, c * side * side]."""
    n, c, s, _ = images.shape
    cut = images.reshape(n, c, s // side, side, s // side, side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n, (s // side) ** 2, c * side * side)
