"""Distillation by regression, arXiv 2201.05131.

family    distillation
views     one; the teacher sees each image whole and once, or the same view as the student
topology  a frozen teacher on the y side; projector to the teacher's width on the x side
D         mean squared error, each of the teacher's features standardised
A, B      none: the target is given, and differs from image to image
loss      mean over samples and dimensions of (projected x - standardised teacher's y)^2
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from twofold import dist
from twofold.batch import Batch
from twofold.losses import squared, standardised
from twofold.methods.base import Method, Output, Setup
from twofold.nets.backbone import BackboneSpec
from twofold.nets.heads import mlp
from twofold.nets.teacher import open_teacher
from twofold.recipe.rules import Facts
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.5, 1.0), jitter=0.0, grayscale=0.0, lr=0.015, interpolate_weights=1.0)


def view_for_teacher(facts: Facts) -> str:
    """whole where images are kept in memory, else same"""
    return "whole" if facts.settings["resident"] else "same"


@dataclass(frozen=True, kw_only=True)
class Options:
    teacher: str = setting("", "the network to learn from: a timm model, a run, or package.module:function of a module")
    teacher_weights: str = setting("published", "weights of a timm model as the teacher: published, a file or a run")
    teacher_size: int = setting(0, "side of its images in pixels; 0: the views', or its own if fixed", low=0, high=4096)
    teacher_view: Literal["whole", "same"] = setting(
        None, "what the teacher sees; whole: an image's central square, once, so it is kept; same: the student's view",
        auto=view_for_teacher,
    )  # fmt: skip
    projector: tuple[int, ...] = setting((), "widths of the projector's layers before its last one", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("batch", "norm after all projector layers but the last")


class Distill(Method):
    VIEWS, MULTI_CROP = 1, False
    taught: Tensor
    known: Tensor

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        o, name = options, str(setup.kept / "teacher") if setup.kept else options.teacher
        self.teacher = open_teacher(name, o.teacher_weights, setup.size, o.teacher_size, setup.mean, setup.std)
        width = self.teacher.width
        self.projector = mlp(setup.features, (*o.projector, width), o.projector_norm)
        self.whole = o.teacher_view == "whole"
        self.register_buffer("taught", torch.zeros(self.whole * (setup.images or 0), width))
        self.register_buffer("known", torch.zeros(len(self.taught), dtype=torch.bool))
        self.all_known = False  # the device is asked until it is so

    def forward(self, batch: Batch, progress: float) -> Output:
        learned = self.projector(self.encode(batch.views[0]))
        target = standardised(self.answers(batch))
        loss = squared(learned, target) / dist.mean(target.square().mean())
        return Output({"energy": dist.mean(loss)}, (dist.gather(learned),))

    def answers(self, batch: Batch) -> Tensor:
        """The teacher's features of the last view [n, width]; a whole training image's are computed only once."""
        images, index = batch.views[-1].images, batch.index
        if index is None or not len(self.taught) or not self.training:
            return torch.as_tensor(self.teacher(images))
        rows, new = self.taught[index], ~self.known[index]
        self.all_known = self.all_known or bool(self.known.all())
        if self.all_known:
            return rows
        if len(batch.views) == self.VIEWS:  # no whole images, as these have been seen, or as a loop has none
            return torch.as_tensor(self.teacher(images)) if new.any() else rows
        if new.any():
            rows[new] = self.teacher(images[new]).to(rows.dtype)
        every = dist.gather(index)
        self.taught[every], self.known[every] = dist.gather(rows), True
        return rows

    def _load_from_state_dict(self, *state: object) -> None:
        super()._load_from_state_dict(*state)
        self.all_known = False

    def given(self) -> dict[str, tuple[nn.Module, BackboneSpec]]:
        return {"teacher": (self.teacher.network, self.teacher.spec)}

    def collapsed_loss(self, batch_size: int) -> float:
        return 1.0
