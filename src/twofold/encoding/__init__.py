"""Frozen features: the one road from an image to a vector. Decode, crop, normalise, encode; keep what was computed."""
