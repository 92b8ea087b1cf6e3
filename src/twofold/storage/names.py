"""Names of files, and whatever else comes from outside, as texts that can be shown and written anywhere.

The name of a file is bytes, which need not be UTF-8 and may hold line feeds and a terminal's codes. Where a name is a
key it stays what Python makes of it; where it is shown, or has to be a valid text, it is `escaped`.
"""

import re

UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, what turns the direction of writing, ends of lines, and bytes that are no UTF-8."""
ESCAPE = re.compile(rb"\\(\\|x[0-9a-f]{2})")


def escaped(name: str) -> str:
    r"""A name as a valid text of one line, from which `unescaped` makes the name again.

    Every byte that is no UTF-8, and every byte of a control character, is ``\xNN``; a backslash is ``\\``. All other
    names stay as they are.
    """
    return clean(name.replace("\\", r"\\"))


def unescaped(text: str) -> str:
    """The name of which `escaped` made this text."""
    whole = ESCAPE.sub(lambda found: _byte(found[1]), text.encode("utf-8", "surrogateescape"))
    return whole.decode("utf-8", "surrogateescape")


def _byte(written: bytes) -> bytes:
    return written if written == b"\\" else bytes([int(written[1:], 16)])


def clean(text: str) -> str:
    r"""A text for a terminal or a log: one line, with ``\xNN`` for what would act on a terminal or is no UTF-8."""
    return UNSAFE.sub(lambda found: "".join(f"\\x{byte:02x}" for byte in _bytes(found[0])), text)


def _bytes(character: str) -> bytes:
    lone = "\udc80" <= character <= "\udcff"  # Python's sign for a byte that is no UTF-8
    return character.encode("utf-8", "surrogateescape" if lone else "surrogatepass")
