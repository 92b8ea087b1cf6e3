"""Batched distortions: the views x and y of a whole batch at once, on any device."""

from twofold.augment.distortion import Distortion
from twofold.augment.views import Views

__all__ = ["Distortion", "Views"]
