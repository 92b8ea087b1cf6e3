"""The command line: words to calls, and tables for the terminal."""

from twofold.cli.entry import main

__all__ = ["main"]
