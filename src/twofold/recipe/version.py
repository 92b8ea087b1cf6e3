"""twofold's version, and what it means for a run that goes on under another one."""

VERSION = "0.20.0"

COMPUTES_ANEW = ("0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.12.0", "0.13.0", "0.19.0", "0.20.0")
"""Versions since which a recipe computes something else than before, oldest first."""


def note(old: str, new: str = VERSION) -> list[str]:
    """What to say when a run that version ``old`` began goes on under ``new``; nothing if they are one."""
    if old == new:
        return []
    first, last = sorted((numbers(old), numbers(new)))
    between = [version for version in COMPUTES_ANEW if first < numbers(version) <= last]
    effect = (
        f"twofold computes something else since {between[-1]}, so the result may differ from a run made in one go"
        if between
        else "both compute the same, so the result does not differ"
    )
    return [f"begun with twofold {old or 'of no recorded version'}, goes on with {new}: {effect}"]


def numbers(version: str) -> tuple[int, ...]:
    """To compare versions by; what is no number counts as 0."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))
