"""What is said of images that are not read, so that nobody misses them unawares."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

VIDEOS = frozenset({".avi", ".mp4", ".mov", ".mkv", ".m4v", ".wmv", ".mpg", ".webm"})
UNREAD = frozenset(
    {".heic", ".heif", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"}
    | {".dcm", ".nii", ".czi", ".nd2", ".lif", ".svs", ".ndpi"}
    | VIDEOS
)
"""Endings of files with pictures that nothing here reads: of phones, cameras, scanners and microscopes, of drawings,
of what Pillow has not, and of videos."""


def passed_over(files: Iterable[Path]) -> Counter[str]:
    """How many files have each of these endings; hidden files are not counted."""
    return Counter(path.suffix.lower() for path in files if _is_unread(path))


def _is_unread(path: Path) -> bool:
    return path.suffix.lower() in UNREAD and not path.name.startswith(".")


def advice(counts: Mapping[str, int]) -> tuple[str, ...]:
    """One sentence on the files that were passed over, by their endings; none where there are none."""
    if not counts:
        return ()
    kinds = " and ".join(f"{count} {ending}" for ending, count in sorted(counts.items(), key=lambda item: -item[1]))
    files, them = ("file was", "it") if sum(counts.values()) == 1 else ("files were", "them")
    frames = ", of videos the frames" if counts.keys() & VIDEOS else ""
    return (f"{kinds} {files} passed over: convert {them} to JPEG, PNG or TIFF{frames}",)


def left_out(count: int) -> str:
    """What is said of so many images that cannot be read."""
    return f"{count} {'image cannot be read and is' if count == 1 else 'images cannot be read and are'} left out"
