"""A backbone between the weights that it started from and those that it has learned."""

import copy

from torch import Tensor, nn


def interpolated(backbone: nn.Module, start: dict[str, Tensor], share: float) -> nn.Module:
    """A copy of a backbone whose weights are ``start + share * (learned - start)``.

    So are the statistics of its norms; whole numbers stay as they are. Weights that were adapted to few images have
    lost some of what the start knew; those in between have often gained what was learned and lost less (WiSE-FT:
    Wortsman et al. 2022, https://arxiv.org/abs/2109.01903, section 3, where the share is the mixing coefficient alpha).

    Args:
        backbone: with the learned weights; it is left as it is.
        start: the weights that it started from, by name, as its ``state_dict`` has them.
        share: 0 gives the start, 1 what was learned.
    """
    mixed, learned = copy.deepcopy(backbone), backbone.state_dict()
    between = {k: start[k].to(v).lerp(v, share) if v.is_floating_point() else v for k, v in learned.items()}
    mixed.load_state_dict(between)
    return mixed
