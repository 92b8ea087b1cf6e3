"""Images that cannot be read are named, with the reason."""

import twofold
from tests.data.making import fill


def test_scan(tmp_path):
    fill(tmp_path, ["cat/1.png", "cat/2.png", "dog/3.jpg"])
    whole = (tmp_path / "dog" / "3.jpg").read_bytes()
    (tmp_path / "dog" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "empty.png").write_bytes(b"")
    found = twofold.scan(tmp_path)["train"]
    assert found.images == 5
    assert dict(found.sizes) == {(16, 16): 3}
    assert [name for name, _ in found.bad] == ["dog/cut.jpg", "dog/empty.png"]
    assert "truncated" in found.bad[0][1].lower()
    assert found.classes == {"cat": 2, "dog": 3}
