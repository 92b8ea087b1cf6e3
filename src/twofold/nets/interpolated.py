"""A network between the weights that it started from and those that it has learned."""

from torch import nn


def interpolate(network: nn.Module, learned: nn.Module, share: float) -> None:
    """Change a network's weights, in place, to ``start + share * (learned - start)``, where start is what they are.

    The statistics of its norms are changed likewise; whole numbers become those of ``learned``. Weights that were
    adapted to few images have lost some of what the start knew; those in between have often gained what was learned and
    lost less (WiSE-FT: Wortsman et al. 2022, https://arxiv.org/abs/2109.01903, section 3; the share is alpha there).

    Args:
        network: with the weights of the start.
        learned: a network of the same kind with the weights that were learned; it is left as it is.
        share: 0 leaves the start, 1 gives what was learned.
    """
    start = network.state_dict()
    between = {
        name: start[name].lerp(value, share) if value.is_floating_point() else value
        for name, value in learned.state_dict().items()
    }
    network.load_state_dict(between)
