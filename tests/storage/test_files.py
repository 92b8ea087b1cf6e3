"""What stands at a path is always whole, and what is damaged is named."""

import json
import os

import pytest
import torch

from tests.killing import KILLED, die, in_a_child
from twofold.errors import UsageError
from twofold.storage import files


def test_what_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")

    def fail(file):
        file.write(b"half of the n")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is this test's own
        files.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_leaves_the_old_file_and_a_part_that_can_be_removed(tmp_path):
    path, other = tmp_path / "file[1]", tmp_path / "file[2]"
    files.write_text(path, "old")

    def killed():
        files.write_atomically(path, lambda file: (file.write(b"half"), file.flush(), die()))

    assert in_a_child(killed) == KILLED
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_partial(other)
    assert len(list(tmp_path.iterdir())) == 2  # it was not this one's
    files.remove_partial(path)
    assert list(tmp_path.iterdir()) == [path]


def test_state_comes_back_as_it_was(tmp_path):
    path = tmp_path / "state.pt"
    state = {"step": 3, "name": "a", "weights": {"w": torch.randn(4, 3).to(torch.bfloat16)}, "rows": [torch.arange(3)]}
    files.save(path, state)
    loaded = files.load(path)
    assert (loaded["step"], loaded["name"]) == (3, "a")
    assert torch.equal(loaded["weights"]["w"], state["weights"]["w"])
    assert torch.equal(loaded["rows"][0], state["rows"][0])


class Harmful:
    """What would do something when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("made_by_a_file",)


def test_no_code_of_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"step": Harmful()}, tmp_path / "state.pt")
    with pytest.raises(UsageError, match=r"state\.pt is damaged") as said:
        files.load(tmp_path / "state.pt")
    assert "\n" not in str(said.value)
    assert not (tmp_path / "made_by_a_file").exists()


def test_every_flipped_bit_of_a_json_file_is_found(tmp_path):
    """Or it changes nothing: it makes another space of one that is none of the texts'."""
    path = tmp_path / "result.json"
    content = {"score": 0.1 + 0.2, "names": ["a b", "c"], "none": None, "nested": {"1": [1, 2.5e-9]}}
    assert files.write_json(path, content, indent=1) == files.read_json(path, "again") == content
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            try:
                found = files.read_json(path, "again")
            except UsageError:
                refused += 1
            else:
                assert found == content
    assert refused > 7 * len(whole)


def test_json_of_others_has_no_checksum(tmp_path):
    """It is taken only where others may write it."""
    path = tmp_path / "a.json"
    for content in ({"a": 1}, {}):
        path.write_text(json.dumps(content))
        assert files.read_json(path, "again", foreign=True) == content
        with pytest.raises(UsageError, match=r"a\.json is not as twofold has written it \(it has no checksum\): again"):
            files.read_json(path, "again")
