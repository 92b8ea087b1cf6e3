"""Arrays of images in NumPy's files."""

import numpy as np
import pytest

from tests.conftest import picture
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.evaluation.split import labelled_splits


def test_arrays(tmp_path):
    images = np.stack([picture(10, 12, i) for i in range(6)])
    np.save(tmp_path / "a.npy", images)
    assert np.array_equal(open_data(tmp_path / "a.npy").train.image(3), np.moveaxis(images[3], -1, 0))
    np.savez(
        tmp_path / "b.npz",
        train_images=images[..., 0],
        train_labels=np.arange(6)[:, None],
        test_images=images[:2, ..., 0],
    )
    data = open_data(tmp_path / "b.npz")
    assert data.train.image(0).shape == (3, 10, 12)
    assert list(data.train.labels) == [0, 1, 2, 3, 4, 5]
    assert len(data.test) == 2
    np.savez(tmp_path / "c.npz", x_train=np.moveaxis(images, -1, 1))
    assert open_data(tmp_path / "c.npz").train.image(0).shape == (3, 10, 12)
    np.save(tmp_path / "d.npy", images.astype(np.int64))
    with pytest.raises(UsageError, match="uint8"):
        open_data(tmp_path / "d.npy")
    np.save(tmp_path / "f.npy", np.concatenate([images, images], -1)[..., :5].astype(np.float16))
    bands = open_data(tmp_path / "f.npy").train
    assert (len(bands), bands.image(0).shape, bands.image(0).dtype) == (6, (5, 10, 12), np.float32)
    np.savez(tmp_path / "e.npz", pictures=images)
    with pytest.raises(UsageError, match="pictures"):
        open_data(tmp_path / "e.npz")


def test_labels_are_numbers_or_texts(tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "named.npz", images=images, labels=np.array(["b", "a", "b", "a"]))
    named = open_data(tmp_path / "named.npz").train
    assert (named.labels, named.classes) == ([1, 0, 1, 0], ["a", "b"])
    np.savez(tmp_path / "deep.npz", images=images, labels=np.array([1, 0, 1, 0])[:, None, None])
    assert open_data(tmp_path / "deep.npz").train.labels == [1, 0, 1, 0]
    for number, labels in enumerate((np.eye(4), np.array([0.5, 1, 2, 3]), np.array([0, 1, -1, 2]))):
        np.savez(tmp_path / f"{number}.npz", images=images, labels=labels)
        data = open_data(tmp_path / f"{number}.npz")
        assert data.notes[0].startswith("no image has a label: those of images in ")
        with pytest.raises(
            UsageError, match=rf"those of images in .*{number}.npz are neither class numbers.*{labels.dtype}"
        ):
            labelled_splits(data)


@pytest.mark.parametrize("damage", [b"", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x09\x00", b"PK\x03\x04" + bytes(60)])
@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_damaged_arrays_are_said(tmp_path, name, damage):
    (tmp_path / name).write_bytes(damage)
    with pytest.raises(UsageError, match=rf"{name} (is no NumPy file|has no array)"):
        open_data(tmp_path / name)


@pytest.mark.parametrize("header", [b"{'descr': '''", b"{'descr': ('<", b"((((", b"{'descr': '|u1', 'shape': (\xff"])
def test_a_header_that_is_no_python_is_said_in_one_line(header, tmp_path):
    """As fuzzing found them: an open bracket, an open quotation mark."""
    for version in (1, 2):
        length = len(header).to_bytes(2 if version == 1 else 4, "little")
        (tmp_path / "a.npy").write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(64))
        with pytest.raises(UsageError, match=r"^[^\n]*a\.npy is no NumPy file of plain arrays: [^\n]*$"):
            open_data(tmp_path / "a.npy")


def test_names_of_arrays_are_said_in_one_line(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a\nb": np.zeros(3)})
    with pytest.raises(UsageError, match=r"^[^\n]*\(it has a\\x0ab\)$"):
        open_data(tmp_path / "a.npz")
