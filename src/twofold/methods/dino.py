"""DINO, arXiv 2104.14294.

family    distillation
views     two for teacher and student; small crops for the student only
topology  momentum encoder as the teacher, projectors, weight-normalised prototypes on both sides
D         cross-entropy between teacher's and student's softmax
A, B      none: the teacher's output is centred (no prototype takes all) and sharpened (none is left without)
loss      mean over pairs of other views of -sum softmax((teacher - center) / t') log softmax(student / t)
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from twofold import dist, losses
from twofold.batch import Batch
from twofold.methods.base import Exported, Method, Output, Setup, together
from twofold.nets.heads import Prototypes, mlp
from twofold.nets.momentum import MomentumEncoder
from twofold.recipe.rules import TEACHER, Facts, momentum_within, prototypes_within
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.08, 1.0), saturation=0.2, solarize=(0.0, 0.2))
LARGE = dict(
    teacher_temperature=(0.04, 0.07), blur=(1.0, 0.1),
    crop_scale=(0.14, 1.0), small_crops=8, small_scale=(0.05, 0.14), small_blur=0.5,
)  # fmt: skip


def prototype_count(facts: Facts) -> int:
    """4096, for photographs 65536; at most a tenth of the images"""
    return prototypes_within(facts, 65536 if facts.photographs else 4096)


def published_momentum(facts: Facts) -> tuple[float, float]:
    """0.9995 to 1, for photographs 0.996 to 1; lower in a short run"""
    return momentum_within(facts, 0.996 if facts.photographs else 0.9995, 1.0, TEACHER)


@dataclass(frozen=True, kw_only=True)
class Options:
    prototypes: int = setting(None, "number of prototypes, the outputs of the head", low=2, auto=prototype_count)
    student_temperature: float = setting(0.1, "temperature that the student's outputs are divided by", low=1e-4)
    teacher_temperature: tuple[float, float] = setting(
        (0.04, 0.04), "temperature that the teacher's outputs are divided by, at first and after its warm-up", low=1e-4
    )
    teacher_warmup: float = setting(0.3, "share of the run in which that temperature rises", low=0, high=1)
    center_momentum: float = setting(0.9, "momentum of the teacher outputs' mean; 1: no centring", low=0, high=1)
    unit_prototypes: bool = setting(True, "whether prototypes have length 1, not lengths that are learned")
    freeze_prototypes: float = setting(0.1, "share of the run, at its start, in which prototypes stay", low=0, high=1)
    teacher_momentum: tuple[float, float] = setting(
        None, "the teacher's momentum at the start and at the end of the run; 0 0: it is the student itself",
        low=0, high=1, auto=published_momentum)  # fmt: skip
    exported: Literal["online", "target"] = setting(
        "target", "which backbone is evaluated and exported; online: the student's; target: the teacher's")  # fmt: skip
    projector: tuple[int, ...] = setting((2048, 2048, 256), "widths of the projector's layers; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting("none", "norm after all projector layers but the last")


class DINO(Method):
    center: Tensor

    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        o, self.o = options, options
        self.projector = mlp(setup.features, o.projector, o.projector_norm, activation=nn.GELU)
        self.prototypes = Prototypes(setup.width(o.projector), o.prototypes, gain=not o.unit_prototypes)
        self.target = MomentumEncoder(o.teacher_momentum, self.backbone, self.projector, self.prototypes)
        self.register_buffer("center", torch.zeros(1, o.prototypes))

    def forward(self, batch: Batch, progress: float) -> Output:
        o, (low, high) = self.o, self.o.teacher_temperature
        embedded = together(lambda view: self.projector(self.encode(view)), batch.views)
        student = [self.prototypes(z, frozen=progress < o.freeze_prototypes) for z in embedded]
        teacher = together(self.target, batch.views[:2])
        sharpness = low + (high - low) * min(1.0, progress / max(o.teacher_warmup, 1e-9))
        codes = [losses.centred_softmax(t, self.center, sharpness) for t in teacher]
        loss = dist.mean(losses.multi_crop(student, codes, o.student_temperature))
        if self.training:
            latest = dist.mean(torch.cat(teacher).mean(0, keepdim=True))
            self.center = o.center_momentum * self.center + (1 - o.center_momentum) * latest
        return Output({"energy": loss}, tuple(dist.gather(z) for z in embedded))

    @property
    def exported(self) -> Exported:
        return Exported(*self.target.stages) if self.o.exported == "target" else super().exported

    def after_step(self, progress: float) -> None:
        self.target.update(progress)

    def collapsed_loss(self, batch_size: int) -> float:
        return math.log(self.o.prototypes)
