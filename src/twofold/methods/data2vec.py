"""data2vec, arXiv 2202.03555.

family    distillation
views     one; the x side sees it with patches masked, the y side whole
topology  momentum encoder as the teacher; linear regression head on the x side; vision transformers only
D         smooth L1 at the masked patches
A, B      none: the slowly moving target, normalised, prevents collapse
loss      smooth L1 (beta 2) between the student's masked tokens and the mean of the teacher's top blocks, each token
          standardised over its features in every block and once more in the mean
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import dist
from twofold.augment.masks import hidden, masked, of_hidden
from twofold.batch import Batch, View
from twofold.losses import smooth_l1
from twofold.methods.base import Method, Output, Setup
from twofold.nets.momentum import MomentumEncoder
from twofold.nets.vit import block_outputs, patch_size, tokens, transformer
from twofold.recipe.settings import setting

RECIPE = dict(
    backbone="vit_tiny_patch16_224", pool="average",
    lr=5e-4, weight_decay=0.05, grad_clip=3.0,
    mask=(0.612, 0.0), mask_shape="block", jitter=1.0, hue=0.0, grayscale=0.0,
)  # fmt: skip
LARGE = dict(teacher_momentum=(0.9998, 0.9998), crop_scale=(0.08, 1.0))

MASKED = 0.612  # share of the patches that is hidden where the views do not say: 120 of 196


@dataclass(frozen=True, kw_only=True)
class Options:
    blocks: int = setting(6, "how many of the teacher's last blocks are averaged; more than it has: all of them", low=1)
    beta: float = setting(2.0, "difference above which the energy is linear, not squared", low=1e-4)
    teacher_momentum: tuple[float, float] = setting(
        (0.998, 1.0), "the teacher's momentum at the start and at the end of the run; 0 0: it is the student itself",
        low=0, high=1)  # fmt: skip
    normalize: bool = setting(
        True, "whether each target token is standardised over its features, in every block and again in their mean"
    )


class Data2Vec(Method):
    VIEWS, MULTI_CROP, MASK = 1, False, "needed"

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        width = transformer(backbone, "data2vec").embed_dim
        self.patches_a_side = setup.size // patch_size(backbone)
        self.patches = self.patches_a_side**2
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.head = nn.Linear(width, width)
        self.target, self.o = MomentumEncoder(options.teacher_momentum, backbone), options

    def forward(self, batch: Batch, progress: float) -> Output:
        view = batch.views[0]
        if view.ids_keep is None:  # a loop whose views are not masked
            view = masked(view, self.patches_a_side, MASKED, "block", batch.chance)
        assert view.ids_keep is not None
        gone, count = hidden(view, self.patches), self.patches - view.ids_keep.shape[1]
        student = self.in_chunks(self.masked_tokens, view.images, gone, weights=[self.mask_token])
        predicted = self.head(of_hidden(student, gone, count))
        wanted = of_hidden(self.regression_target(view.images), gone, count)
        embeddings = dist.gather(student.mean(1))
        return Output({"energy": dist.mean(smooth_l1(predicted, wanted, self.o.beta))}, (embeddings,))

    def masked_tokens(self, images: Tensor, gone: Tensor) -> Tensor:
        """The student's tokens of all patches, those that are ``gone`` replaced: [n, patches, width]."""
        return tokens(self.backbone, View(images), gone, self.mask_token)[:, -self.patches :]

    @torch.no_grad()
    def regression_target(self, images: Tensor) -> Tensor:
        """[n, patches, width]"""
        return self.in_chunks(self.average_of_blocks, images)

    def average_of_blocks(self, images: Tensor) -> Tensor:
        outputs = block_outputs(self.target.stages[0], images, self.o.blocks)
        outputs = [out.float() if out.dtype == torch.bfloat16 else out for out in outputs]
        if self.o.normalize:
            outputs = [F.layer_norm(out, out.shape[-1:]) for out in outputs]
        average = torch.stack(outputs).mean(0)
        return F.layer_norm(average, average.shape[-1:]) if self.o.normalize else average

    def after_step(self, progress: float) -> None:
        self.target.update(progress)

    def collapsed_loss(self, batch_size: int) -> float:
        return 0.0
