"""Energies D and functionals A and B as pure functions, in float32 or better, usable without the rest of twofold."""

from twofold.losses.clustering import dino, sinkhorn, swapped_prediction
from twofold.losses.contrastive import attraction, info_nce, nt_xent, repulsion, repulsion_from
from twofold.losses.decorrelation import barlow_twins, covariance, variance, vicreg
from twofold.losses.energy import cosine, negative_cosine, smooth_l1, squared

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
    "swapped_prediction",
    "variance",
    "vicreg",
]
