"""The images whose features are most alike."""

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 1 << 25
"""How many similarities are in memory at once."""


def nearest(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The rows nearest to each row of features [N, D], nearest first: their cosines and their numbers, [N, count].

    The cosine is that after the mean of all rows is taken off. A row is not its own neighbour; where there are fewer
    than ``count`` others, all of them are returned.
    """
    units = F.normalize(features.float() - features.float().mean(0))
    cosines, numbers = [], []
    rows_at_once = max(1, BLOCK // len(units))
    for first in range(0, len(units), rows_at_once):
        similarity = units[first : first + rows_at_once] @ units.T
        rows = torch.arange(len(similarity), device=units.device)
        similarity[rows, rows + first] = -torch.inf
        found = similarity.topk(min(count, len(units) - 1))
        cosines.append(found.values)
        numbers.append(found.indices)
    return torch.cat(cosines), torch.cat(numbers)
