"""The command line: words to calls, and tables for the terminal."""

from twofold.cli.main import main

__all__ = ["main"]
