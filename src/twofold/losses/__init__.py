"""Energies D and functionals A and B as pure functions, in float32 or better, usable without the rest of twofold.

Losses that compare the images of a batch with each other take ``gather=True``: then the batch is that of all processes
(torch.distributed), every process has the same loss, and the gradient averaged over the processes, as
DistributedDataParallel does it, is that of one process with the whole batch. Losses that are a mean over images need
no such thing.
"""

from twofold.losses.clustering import dino, sinkhorn, swapped_prediction
from twofold.losses.contrastive import attraction, info_nce, nt_xent, repulsion, repulsion_from
from twofold.losses.decorrelation import barlow_twins, covariance, variance, vicreg
from twofold.losses.energy import cosine, negative_cosine, smooth_l1, squared, standardised

__all__ = [
    "attraction",
    "barlow_twins",
    "cosine",
    "covariance",
    "dino",
    "info_nce",
    "negative_cosine",
    "nt_xent",
    "repulsion",
    "repulsion_from",
    "sinkhorn",
    "smooth_l1",
    "squared",
    "standardised",
    "swapped_prediction",
    "variance",
    "vicreg",
]
