"""Whether a representation has collapsed, how, since when, and what to do about it."""
