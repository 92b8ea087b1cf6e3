"""Names of files as texts."""

import os

from hypothesis import given
from hypothesis import strategies as st

from twofold.storage.names import clean, escaped, unescaped


@given(st.binary().map(os.fsdecode))
def test_an_escaped_name_is_a_text_of_one_line_and_can_be_undone(name):
    text = escaped(name)
    assert text.encode("utf-8").decode("utf-8") == text
    assert text == "" or len(text.splitlines()) == 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)
    assert unescaped(text) == name


def test_what_is_escaped():
    assert escaped("Ünïcode 😀 ñ.png") == "Ünïcode 😀 ñ.png"
    assert escaped(os.fsdecode(b"caf\xe9\n\\.png")) == r"caf\xe9\x0a\\.png"
    assert escaped("\u202egnp.exe") == r"\xe2\x80\xaegnp.exe"
    assert clean("a \\ \x1b[2J\r\n b") == r"a \ \x1b[2J\x0d\x0a b"
    assert clean("\ud800") == r"\xed\xa0\x80"
