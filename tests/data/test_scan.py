"""Images and masks that cannot be used are named, with the reason; what is not looked at is counted."""

import numpy as np
import tifffile
from PIL import Image

import twofold
from tests.cli.running import twofold as command
from tests.conftest import picture
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


def test_what_is_not_looked_at_is_counted(tmp_path):
    frames = [Image.fromarray(picture(16, 16, seed)) for seed in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])  # in colour, so no bands
    frames[0].save(tmp_path / "still.gif")
    heights = np.arange(256, dtype=np.float32).reshape(16, 16)
    with tifffile.TiffWriter(tmp_path / "bands.tif") as writer:
        for band in range(3):
            writer.write(heights + band, photometric="minisblack", metadata=None)
        writer.write(heights[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)  # a smaller copy
    tifffile.imwrite(tmp_path / "heights.tif", heights)
    for name, value in (("gaps.tif", "-9999"), ("none.tif", "nan")):
        nodata = [(42113, 2, len(value) + 1, value.encode(), True)]
        tifffile.imwrite(tmp_path / name, heights, photometric="minisblack", metadata=None, extratags=nodata)
    found = twofold.scan(tmp_path)["train"]
    assert (found.images, found.bad) == (7, [])
    assert found.more_frames == ["moving.gif", "pages.tif"]
    assert found.nodata == 2


def test_masks_are_read(tmp_path, capsys):
    fill(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    mask = np.zeros((16, 16), np.uint8)
    mask[:4] = 2
    Image.fromarray(mask).save(tmp_path / "a_mask.png")
    Image.fromarray(mask[:8]).save(tmp_path / "b_mask.png")
    Image.fromarray(picture(16, 16)).save(tmp_path / "c_mask.png")
    found = twofold.scan(tmp_path)["train"]
    assert found.masked == 3
    assert dict(found.mask_pixels) == {0: 192, 2: 64}
    assert [name for name, _ in found.bad_masks] == ["b.jpg", "c.jpg"]
    code, said, _ = command(capsys, "scan", tmp_path)
    assert code == 1
    assert "3 of them have a mask, 2 of which cannot be used; their pixels are 0 (75.0 %), 2 (25.0 %)\n" in said
    assert "  b.jpg: the mask has 16 x 8 pixels, the image 16 x 16\n" in said
    assert f"  c.jpg: the mask {tmp_path}/c_mask.png holds colours (RGB), not a class number for each pixel\n" in said


def test_rows_of_a_table_without_a_file_are_named(tmp_path, capsys):
    fill(tmp_path, ["a.png", "b.png"])
    (tmp_path / "t.csv").write_text("path,label,split\na.png,x,train\ngone.png,y,test\nb.png,y,test\n")
    code, said, _ = command(capsys, "scan", tmp_path / "t.csv")
    assert code == 1
    assert said.count("  gone.png: in the table, but names no image\n") == 1
