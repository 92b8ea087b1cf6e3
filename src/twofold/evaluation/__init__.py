"""How good frozen features are: the protocols of an evaluation, and the probes that they are made of."""
