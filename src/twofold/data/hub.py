"""Data sets of the hub of Hugging Face, as folders of Parquet files in the cache."""

import logging
from pathlib import Path

from twofold.data.cache import cache
from twofold.errors import UsageError

PATIENCE = 5.0
"""seconds in which the hub must answer that it is there"""


def kept_or_downloaded(name: str, download: bool) -> Path | None:
    """The folder of a data set's Parquet files: from the network, else from the cache; None if it is in neither.

    ``download``: whether the network is asked at all.

    The hub's client tries each file that it cannot have for a minute and tells of every attempt, so the hub is asked
    once before, and briefly.

    Raises:
        UsageError: if the hub was asked and it cannot be had from either.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every attempt
    reasons = []
    for revision in (None, "refs/convert/parquet"):  # the hub converts most image data sets there
        there = download
        try:
            if download:
                HfApi().dataset_info(name, revision=revision, timeout=PATIENCE)
        except HfHubHTTPError as error:  # it is there, and has no such data set for us
            reasons.append(in_a_line(error))
            continue
        except Exception as error:  # the client raises its transport's own kinds
            reasons.append(in_a_line(error))
            there = False
        try:
            root = snapshot_download(
                name,
                repo_type="dataset",
                revision=revision,
                allow_patterns="*.parquet",
                cache_dir=cache() / "hf",
                local_files_only=not there,
            )
        except Exception as error:
            reasons += [in_a_line(error)] if there else []
            continue
        if any(Path(root).rglob("*.parquet")):
            return Path(root)
        reasons.append("it has no Parquet files")
    if not download:
        return None
    raise UsageError(f"hf:{name} cannot be had: {reasons[-1]}")


def in_a_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
