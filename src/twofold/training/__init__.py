"""Pretraining: opening a run, the loop, the optimizer, what a run says."""
