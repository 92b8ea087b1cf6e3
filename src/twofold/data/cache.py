"""The one place outside a run directory that is written to."""

import os
from pathlib import Path


def cache() -> Path:
    """Where downloads and copies of large Parquet data are kept: ``$TWOFOLD_CACHE``, else ``~/.cache/twofold``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TWOFOLD_CACHE") or Path(home) / "twofold")
