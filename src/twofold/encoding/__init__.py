"""Frozen features: the one road from an image to a vector."""
