"""Batched distortions: the views x and y of a whole batch at once, on any device."""

from twofold.augment.views import Distortion, Draws, draw_step, views_of

__all__ = ["Distortion", "Draws", "draw_step", "views_of"]
