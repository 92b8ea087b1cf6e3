"""Schedules as functions of the step."""

import math


def cosine(start: float, end: float, progress: float) -> float:
    """Half a cosine from ``start`` (progress 0) to ``end`` (progress 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2


def warmup_cosine(peak: float, step: int, steps: int, warmup: int, final: float = 0.0) -> float:
    """Linear warm-up over ``warmup`` steps, then a cosine to ``final``.

    The first update already moves: step 0 has ``peak / warmup``, step ``warmup`` has ``peak``.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine(peak, final, (step - warmup) / max(1, steps - warmup))
