"""Whether a representation has collapsed, how, since when, and what can be done about it."""
