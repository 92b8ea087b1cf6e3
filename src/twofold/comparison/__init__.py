"""Several runs side by side: the same compute for each method, measured the same way."""
