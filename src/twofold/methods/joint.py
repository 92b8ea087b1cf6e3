"""Joint embedding from parts, arXiv 2105.04906 and the others: any energy, functionals and topology.

family    build your own
views     two, symmetric; small crops only predict
topology  shared weights, stop-gradient or momentum encoder; projector, predictor, prototypes and memory on demand
D         any of the library's energies, or cross-entropy against softmax, Sinkhorn's or centred codes of the y side
A, B      any weighed sum of variance, covariance, redundancy, repulsion, contrast, margin, uniformity, koleo,
          coding_rate, sigreg and norm: of the online or the predicted embeddings, or of these against the y side's
loss      energy_weight mean D(predicted x, y) over both directions + mean over views of the weighed functionals
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from twofold.batch import Batch
from twofold.methods import joint_parts as parts
from twofold.methods.base import Method, Output, Setup, directions, mean
from twofold.methods.joint_functionals import Functionals
from twofold.methods.joint_parts import as_functionals, as_temperature, published_momentum
from twofold.nets.heads import Prototypes, predictor
from twofold.nets.memory import Queue
from twofold.nets.momentum import MomentumEncoder
from twofold.recipe.settings import setting

RECIPE = dict(crop_scale=(0.2, 1.0), saturation=0.2, hue=0.1)
LARGE = dict(blur=(0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class Options:
    energy: Literal["squared", "cosine", "negative_cosine", "cross_entropy", "smooth_l1", "correlation"] = setting(
        "squared", "D, which pulls the two embeddings of an image together")  # fmt: skip
    energy_weight: float = setting(25.0, "weight of the energy")
    functionals: str = setting(
        "variance:25,covariance:2", "A, on the first view: names and weights, as in variance:25,koleo@predicted:0.1"
    )
    functionals_y: str = setting(None, "B, the same for the other views", auto=as_functionals)
    temperature: float = setting(0.2, "temperature for similarities and for scores of the x side", low=1e-4)
    target_temperature: float = setting(
        None, "temperature for scores of the y side; sinkhorn's epsilon", low=1e-4, auto=as_temperature)  # fmt: skip
    margin: float = setting(1.0, "distance that the functional margin asks for", above=0)
    codes: Literal["softmax", "sinkhorn", "centred"] = setting("softmax", "how y scores become cross_entropy's targets")
    prototypes: int = setting(0, "number of prototypes for cross_entropy; 0: embeddings are the scores", low=0)
    freeze_prototypes: float = setting(0.0, "share of the run, at its start, in which prototypes stay", low=0, high=1)
    target: Literal["shared", "stop_gradient", "momentum"] = setting(
        "shared", "y side; shared: as x, with gradient; stop_gradient: as x, without; momentum: a momentum encoder"
    )
    momentum: tuple[float, float] = setting(
        None, "momentum of that encoder, at start and end", auto=published_momentum, low=0, high=1)  # fmt: skip
    key_groups: int = setting(1, "in how many shuffled groups images pass the momentum encoder", low=1)
    memory: int = setting(0, "past y-side embeddings for functionals and codes; 0: none", low=0, high="images")
    normalize: bool = setting(False, "whether embeddings are scaled to length 1 first")
    views_together: bool = setting(False, "whether views of one size pass the networks as one batch")
    projector: tuple[int, ...] = setting((2048, 2048, 2048), "widths of the projector's layers; empty: none", low=1)
    predictor: tuple[int, ...] = setting((), "predictor's widths, the last as the projector's; empty: none", low=1)
    projector_norm: Literal["batch", "layer", "none"] = setting(
        "batch", "norm after every layer of projector and predictor but their last ones")  # fmt: skip
    last_norm: bool = setting(False, "whether a norm follows the projector's last layer too")
    activation: Literal["relu", "gelu"] = setting("relu", "activation between the projector's layers")


class Joint(Method):
    def __init__(self, backbone: nn.Module, setup: Setup, options: Options) -> None:
        super().__init__(backbone)
        o, width = parts.checked(options), setup.width(options.projector)
        self.projector = parts.projector(setup.features, o)
        self.predictor = predictor(width, o.predictor, o.projector_norm)
        self.prototypes = Prototypes(width, o.prototypes) if o.prototypes else None
        followed = [stage for stage in (backbone, self.projector, self.prototypes) if stage is not None]
        self.target = MomentumEncoder(o.momentum, *followed) if o.target == "momentum" else None
        self.memory, self.codes = Queue(setup.at_most_images(o.memory), width), parts.Codes(o, o.prototypes or width)
        self.energy, self.functionals, self.o = parts.Energy(o, o.prototypes or width), Functionals(o, width), o

    def forward(self, batch: Batch, progress: float) -> Output:
        o, local = self.o, parts.embedded(batch.views, self.encode, self.projector, self.o.views_together)
        xs = parts.gathered(local, o.normalize)
        ps = parts.gathered([self.predictor(z) for z in local], o.normalize) if o.predictor else xs
        ys = parts.y_side(self.target, batch, xs, o)
        scores = parts.scored(ps, self.prototypes, progress < o.freeze_prototypes)
        of_y = self.target.stages[2] if self.target and self.prototypes else self.prototypes
        codes = self.codes(parts.scored([*ys, self.memory.filled], of_y))
        terms = {"energy": mean([self.energy(score, code) for score, code in directions(scores, codes)])}
        terms |= self.functionals(xs, ps, ys, self.memory, batch.chance)
        self.memory.enqueue(torch.cat(ys))  # after the loss
        return Output(terms, tuple(xs))

    def after_step(self, progress: float) -> None:
        if self.target:
            self.target.update(progress)

    def collapsed_loss(self, batch_size: int) -> float:
        return self.energy.collapsed() + self.functionals.collapsed(batch_size, len(self.memory.rows))
