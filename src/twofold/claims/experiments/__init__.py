"""The claims, one a file, picked up by themselves; a file's number is the claim's."""
