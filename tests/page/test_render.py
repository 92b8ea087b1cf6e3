"""Numbers for the page's script."""

import base64

import numpy as np

from twofold.page.render import packed


def test_numbers_are_packed_little_endian():
    assert base64.b64decode(packed(np.array([1, 258], ">u2"))["data"]) == b"\x01\x00\x02\x01"
