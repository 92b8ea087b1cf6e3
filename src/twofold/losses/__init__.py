"""Energies D and functionals A and B as pure functions, in float32 or better, usable without the rest of twofold.

Arguments ``x`` and ``y`` are float tensors [n, d]: row i of both is an embedding of image i. Nothing but what a
function's text says is done to them first. Half precision is raised to float32. Results are scalar tensors, unless a
function says otherwise, and a gradient flows to every tensor that is given, unless it says that none does.

Losses that compare the images of a batch with each other take ``gather=True``: then the batch is that of all processes
(torch.distributed), every process has the same loss, and the gradient averaged over the processes, as
DistributedDataParallel does it, is that of one process with the whole batch. Losses that are a mean over images need
no such thing.
"""

from twofold.losses.clustering import centred_softmax, dino, multi_crop, sinkhorn, swapped_prediction
from twofold.losses.contrastive import attraction, info_nce, margin_hinge, nt_xent, repulsion, repulsion_from
from twofold.losses.decorrelation import barlow_twins, covariance, variance, vicreg
from twofold.losses.energy import cosine, negative_cosine, smooth_l1, squared, squared_to_mean, standardised
from twofold.losses.gaussianity import sigreg
from twofold.losses.spreading import coding_rate, koleo, norm_hinge, uniformity

__all__ = [
    "attraction",
    "barlow_twins",
    "centred_softmax",
    "coding_rate",
    "cosine",
    "covariance",
    "dino",
    "info_nce",
    "koleo",
    "margin_hinge",
    "multi_crop",
    "negative_cosine",
    "norm_hinge",
    "nt_xent",
    "repulsion",
    "repulsion_from",
    "sigreg",
    "sinkhorn",
    "smooth_l1",
    "squared",
    "squared_to_mean",
    "standardised",
    "swapped_prediction",
    "uniformity",
    "variance",
    "vicreg",
]
