"""The methods, one file each, and what they share: the base of them all, and how one is made."""
