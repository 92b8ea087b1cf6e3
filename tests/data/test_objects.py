"""Images given as Python objects are the images that a folder of the same files holds."""

import pickle
import sys

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, TensorDataset
from torch.utils.data import Subset as TorchSubset

import twofold
from tests.conftest import encoded, picture, tiny
from twofold.augment import Views
from twofold.comparison import running
from twofold.data.decode import Unreadable
from twofold.data.loader import Streamed
from twofold.data.opening import Data, name_of, open_data
from twofold.data.plan import MicroBatch, Plan
from twofold.data.sources import Array
from twofold.errors import UsageError
from twofold.evaluation.split import labelled_splits

CPU = torch.device("cpu")
CLASSES = ("cat", "dog")
COUNT = 12


class Pairs(Dataset):
    """A data set of one's own: (PIL image, label), nothing else. Counts how often each item is read."""

    def __init__(self, images, labels, transform=lambda image: image):
        self.images, self.given, self.transform = images, labels, transform
        self.read = []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.read.append(index)
        return self.transform(Image.fromarray(self.images[index])), self.given[index]


class Listed(Pairs):
    """As torchvision's: it lists labels and classes."""

    def __init__(self, images, labels):
        super().__init__(images, labels)
        self.targets, self.classes = labels, list(CLASSES)


class Own:
    """A sequence that is no Dataset."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def files(folder, one_size, count=COUNT):
    """Images [H, W, 3], and the paths and class numbers that they have in a folder of two classes."""
    paths, images, labels = [], [], []
    for number in range(count):
        label = number * 2 // count
        path = folder / CLASSES[label] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.append(picture(12, 15, number) if one_size else picture(8 + number, 20 - number, number))
        path.write_bytes(encoded(images[-1]))
        paths.append(path)
        labels.append(label)
    return paths, images, labels


def texts(labels):
    return [CLASSES[label] for label in labels]


def hugging_face(photos, labels):
    """Of photos as paths (of which it keeps the paths) or as PIL images (of which it keeps encoded bytes)."""
    import datasets

    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))})
    return datasets.Dataset.from_dict({"photo": photos, "kind": labels}, features=features)


def tensors(images):
    return [torch.from_numpy(image).permute(2, 0, 1) for image in images]


KINDS = {
    "array [N, H, W, C]": lambda paths, images, labels: (np.stack(images), labels),
    "array [N, C, H, W]": lambda paths, images, labels: (np.stack(images).transpose(0, 3, 1, 2), np.array(labels)),
    "tensor": lambda paths, images, labels: (torch.stack(tensors(images)), torch.tensor(labels)),
    "TensorDataset": lambda paths, images, labels: TensorDataset(torch.stack(tensors(images)), torch.tensor(labels)),
    "PIL images": lambda paths, images, labels: [(Image.fromarray(i), n) for i, n in zip(images, labels)],
    "PIL images of open files": lambda paths, images, labels: [(Image.open(p), n) for p, n in zip(paths, labels)],
    "paths": lambda paths, images, labels: (paths, texts(labels)),
    "texts of paths, with labels": lambda paths, images, labels: [(str(p), n) for p, n in zip(paths, texts(labels))],
    "arrays": lambda paths, images, labels: (images, texts(labels)),
    "tensors": lambda paths, images, labels: (tensors(images), torch.tensor(labels)[:, None]),
    "an array of paths": lambda paths, images, labels: (np.array(paths), np.array(texts(labels))),
    "columns of pandas": lambda paths, images, labels: (
        pandas.Series(map(str, paths[::-1]), range(COUNT))[::-1],
        pandas.Series(texts(labels), range(7, 7 + COUNT)),
    ),
    "dicts": lambda paths, images, labels: [dict(image=Image.fromarray(i), label=n) for i, n in zip(images, labels)],
    "dicts of odd names": lambda paths, images, labels: [
        dict(id=3, x=i, label=n) for i, n in zip(images, texts(labels))
    ],
    "a sequence": lambda paths, images, labels: Own([(path, np.int64(n)) for path, n in zip(paths, labels)]),
    "a Dataset": lambda paths, images, labels: Pairs(images, texts(labels)),
    "a Dataset that lists labels": lambda paths, images, labels: Listed(images, labels),
    "a part of a Dataset": lambda paths, images, labels: TorchSubset(
        Listed(images[::-1], labels[::-1]), range(COUNT - 1, -1, -1)
    ),
    "two Datasets": lambda paths, images, labels: ConcatDataset(
        [Pairs(images[:5], labels[:5]), Pairs(images[5:], labels[5:])]
    ),
    "Hugging Face": lambda paths, images, labels: hugging_face([str(path) for path in paths], labels),
    "Hugging Face, PIL images": lambda paths, images, labels: hugging_face([*map(Image.fromarray, images)], labels),
    "Hugging Face, another format": lambda paths, images, labels: hugging_face(
        [*map(Image.fromarray, images)], labels
    ).with_format("torch"),
    "Hugging Face, selected": lambda paths, images, labels: hugging_face(
        [str(path) for path in paths[::-1]], labels[::-1]
    ).select(range(COUNT - 1, -1, -1)),
    "a Source": lambda paths, images, labels: open_data(paths[0].parents[1]).train,
    "Data": lambda paths, images, labels: open_data(paths[0].parents[1]),
    "a dict of parts": lambda paths, images, labels: {"train": (images, labels), "test": (images[:2], labels[:2])},
}
ONE_SIZE = ("array [N, H, W, C]", "array [N, C, H, W]", "tensor", "TensorDataset")
NUMBERS = (*ONE_SIZE, "PIL images", "PIL images of open files", "tensors", "dicts", "a sequence", "two Datasets",
           "a dict of parts")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_holds_what_the_folder_holds(kind, tmp_path, monkeypatch):
    """Images of several sizes where the kind allows it; names of classes where it has them."""
    paths, images, labels = files(tmp_path / "photos", kind in ONE_SIZE)
    if "Hugging" not in kind:
        monkeypatch.setitem(sys.modules, "datasets", None)  # to import it would fail
    folder, data = open_data(tmp_path / "photos").train, open_data(KINDS[kind](paths, images, labels)).train
    assert len(data) == COUNT
    for number in range(COUNT):
        assert np.array_equal(data.image(number), folder.image(number))
        assert data.label(number) == folder.label(number)
    assert data.labels == folder.labels
    assert data.classes == (None if kind in NUMBERS else folder.classes)
    before = data.fingerprint()
    assert open_data(KINDS[kind](paths, images, labels)).train.fingerprint() == before
    images[-1] = 255 - images[-1]
    paths[-1].write_bytes(encoded(images[-1]))
    assert open_data(KINDS[kind](paths, images, labels)).train.fingerprint() != before


def test_grey_images_have_three_channels():
    grey = np.stack([picture(9, 9, number)[..., 0] for number in range(3)])
    for data in (grey, grey[..., None], list(grey), torch.from_numpy(grey), [Image.fromarray(one) for one in grey]):
        source = open_data(data).train
        assert np.array_equal(source.image(2), np.stack([grey[2]] * 3))


def test_labels_of_a_dataset_are_read_once():
    """Not before they are asked for, and from items whose images were read already not again."""
    images = [picture(8, 8, number) for number in range(6)]
    for data in (Pairs(images, [3, 1, 2, 3, 1, 2]), Pairs(images, [*"cabcab"])):
        source = open_data(data).train
        assert data.read == [0]  # to see whether it can be used at all
        source.image(1)
        assert len(set(source.labels)) == 3
        assert source.classes == (None if source.labels[0] == 3 else ["a", "b", "c"])
        assert sorted(data.read) == [0, 1, 2, 3, 4, 5]
    listed = Listed(images, [0, 1] * 3)
    assert open_data(listed).train.labels == [0, 1] * 3
    assert listed.read == [0]


@pytest.mark.parametrize(
    "labels", [[0, None, 1, 1], [0, -1, 1, 1], [{"boxes": []}] * 4, [torch.zeros(3)] * 4, [0.5] * 4, [None] * 4]
)
def test_labels_count_only_if_every_image_has_one(labels):
    images = [picture(8, 8, number) for number in range(4)]
    assert open_data(Pairs(images, labels)).train.labels is None
    assert open_data(list(zip(images, labels))).train.labels is None


def test_the_first_item_without_a_label_is_named_where_labels_are_needed():
    data = open_data(Pairs([picture(8, 8, number) for number in range(4)], [0, 1, None, None])).of_kind(3, "uint8")
    with pytest.raises(UsageError, match=r"; no image has a label: all must have one, but item 2 has none$"):
        labelled_splits(data)
    with pytest.raises(UsageError, match=r"a table \(\.csv\) of images and their labels$"):
        labelled_splits(open_data(Pairs([picture(8, 8, number) for number in range(4)], [None] * 4)))


def test_a_part_of_a_dataset_says_what_the_whole_lacks():
    whole = Pairs([picture(8, 8, number) for number in range(4)], [0, 1, 0, None])
    with pytest.raises(UsageError, match=r"; no image has a label: all must have one, but item 3 has none$"):
        labelled_splits(open_data(TorchSubset(whole, [0, 1, 2, 3])))


def test_labels_may_be_given_beside_a_part_of_a_dataset():
    whole = Pairs([picture(8, 8, number) for number in range(4)], [0, 1, 0, None])
    part = TorchSubset(whole, [0, 1, 3])
    for images in (part, open_data(part).of_kind(3, "uint16").train):
        source = open_data((images, ["a", "b", "a"])).train
        assert (list(source.labels), source.classes, source.notes) == ([0, 1, 0], ["a", "b"], ())


def test_a_table_of_pandas_is_refused():
    table = pandas.DataFrame({"file": ["a.jpg", "b.jpg"], "kind": ["x", "y"]})
    for given in (table, pyarrow.Table.from_pandas(table)):
        with pytest.raises(UsageError, match=r"Table|DataFrame is a table of file, kind: give its images, or images"):
            open_data(given)


def test_items_that_cannot_be_read(tmp_path):
    """They are the unreadable images of a Dataset, and cost no other image its label."""

    class Broken(Pairs):
        def __getitem__(self, index):
            if index in (0, 2):
                raise KeyError("lost")
            return super().__getitem__(index)

    images = [picture(8, 8, number) for number in range(4)]
    source = open_data(Broken(images, [*"abab"])).train
    assert (source.labels[1], source.labels[3], source.classes) == (0, 0, ["b"])
    for number in (0, 2):
        with pytest.raises(Unreadable, match="KeyError: 'lost'"):
            source.image(number)
    assert source.fingerprint() != open_data(Pairs(images, [*"abab"])).train.fingerprint()
    floats, rows = torch.from_numpy(images[1]) / 255, images[2].astype(np.int64)
    odd = open_data([images[0], floats, rows, "nowhere.png", 3]).train
    for number, reason in enumerate(("give images before transforms", "not int64", "No such file", "cannot be int"), 1):
        with pytest.raises(Unreadable, match=reason):
            odd.image(number)
    (tmp_path / "cut.png").write_bytes(encoded(images[0])[:60])
    files = open_data([tmp_path / "cut.png", tmp_path / "nowhere.png"]).train
    assert len(files.fingerprint()) == 16
    found = twofold.scan([tmp_path / "cut.png", tmp_path / "nowhere.png"])["train"].bad
    assert [name for name, _ in found] == [str(tmp_path / "cut.png"), str(tmp_path / "nowhere.png")]


class Stream(IterableDataset):
    def __iter__(self):
        yield from [picture(8, 8)]


class Unsized(Dataset):
    """Somebody's Dataset that has images by number and cannot say how many, as those over a stream may not."""

    def __len__(self):
        raise NotImplementedError("how many there are is not known")


IMAGES = np.zeros((4, 8, 8, 3), np.uint8)
UNUSABLE = {
    "no numbers": (lambda: np.where(IMAGES, 0.0, np.nan), "python:ndarray has values that are not finite"),
    "whole numbers": (
        lambda: IMAGES.astype(np.int64),
        "uint8, uint16, int16 or float32 values, not int64: save them as float32",
    ),
    "many channels": (lambda: np.zeros((4, 32, 32, 17), np.uint8), r"C 1 to 16, not \[4, 32, 32, 17\]"),
    "one line": (lambda: torch.zeros(8, dtype=torch.uint8), r"not \[8\]"),
    "no images": (lambda: IMAGES[:0], "no images in python:ndarray"),
    "an empty list": (lambda: [], "no images in python:list"),
    "an empty Dataset": (lambda: Pairs([], []), "no images in python:Pairs"),
    "a stream": (Stream, "python:Stream holds no images that can be had by number"),
    "a generator": (lambda: (image for image in IMAGES), "python:generator holds no images"),
    "a DataLoader": (lambda: DataLoader(IMAGES), "python:DataLoader holds no images"),
    "no length": (lambda: Dataset(), "python:Dataset holds no images"),
    "a length that it has not": (Unsized, "python:Unsized holds no images"),
    "nothing": (lambda: None, "python:NoneType holds no images"),
    "one image": (lambda: Image.fromarray(IMAGES[0]), "python:Image holds no images"),
    "bytes": (lambda: encoded(IMAGES[0]), "python:bytes holds no images"),
    "numbers": (lambda: [1, 2, 3], "python:list: an image cannot be int"),
    "empty items": (lambda: [(), ()], "python:list: an image cannot be NoneType"),
    "dicts of no image": (lambda: [{"text": "a"}], "python:list: an image cannot be NoneType"),
    "odd images": (lambda: [np.zeros((32, 32, 17), np.uint8)] * 4, r"must have shape \[H, W\], .* not \[32, 32, 17\]"),
    "transforms": (
        lambda: Pairs(IMAGES, [0] * 4, lambda image: torch.from_numpy(np.array(image)) / 255),
        "python:Pairs: an image is a tensor of floats, as transforms make them: give images before transforms",
    ),
    "classes without a name": (lambda: Listed(IMAGES, [1, 2, 1, 2]), "label 2 but only 2 classes"),
    "too few labels": (lambda: (IMAGES, [0, 1]), r"4 images with 2 labels; a pair is \(images, labels\)"),
    "no labels": (lambda: (IMAGES, None), r"4 images with NoneType; a pair is \(images, labels\)"),
    "labels of fractions": (lambda: (IMAGES, [0.5] * 4), "must be a whole number or a text, not float"),
    "a pair of paths": (lambda: ("a.png", "b.png"), "holds no images"),
    "no training part": (lambda: {"test": IMAGES}, r"has no part named train \(it has test\)"),
    "a name of objects": (lambda: "python:ndarray", r"as a Python object \(python:ndarray\): pass data= again"),
    "Hugging Face, no images": (
        lambda: __import__("datasets").Dataset.from_dict({"text": ["a"]}),
        r"python:Dataset has no column of images \(it has text\)",
    ),
    "Hugging Face, a stream": (
        lambda: hugging_face([Image.fromarray(IMAGES[0])], [0]).to_iterable_dataset(),
        "python:IterableDataset holds no images",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_used_is_said_in_one_line(kind):
    make, words = UNUSABLE[kind]
    with pytest.raises(UsageError, match=words) as raised:
        _ = open_data(make()).train.labels
    assert "\n" not in str(raised.value)


def test_parts_are_numbered_alike():
    images = [picture(8, 8, number) for number in range(4)]
    held_out = open_data(Pairs(images[:2], ["c", "b"])).train
    data = open_data({"train": (images, [*"abcb"]), "validation": held_out})
    assert (data.test.labels, data.test.classes) == ([2, 1], ["a", "b", "c"])
    assert (held_out.labels, held_out.classes) == ([1, 0], ["b", "c"])
    assert "class that the training part lacks (d)" in open_data(
        {"train": (images, [*"abcb"]), "test": (images[:1], ["d"])}
    ).mismatch  # fmt: skip


def test_names():
    assert name_of(IMAGES) == name_of((IMAGES, [0] * 4)) == "python:ndarray"
    assert name_of(Pairs([], [])) == "python:Pairs"
    assert name_of(Data(Array(IMAGES))) == "python:Data"
    assert name_of(open_data("digits")) == name_of("digits") == "digits"


@pytest.mark.parametrize("kind", ["PIL images of open files", "Hugging Face", "a Dataset"])
def test_workers_read_what_the_process_itself_reads(kind, tmp_path):
    source = open_data(KINDS[kind](*files(tmp_path / "photos", False))).train
    parts = [MicroBatch(step, slice(0, 6)) for step in range(6)]
    here, there = (
        Streamed(source, torch.device("cpu"), workers, 0.0, print).load(Plan(COUNT, 6, 0), Views(16), parts)
        for workers in (0, 2)
    )
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.crops, other.crops, strict=True))


# -- commands ---------------------------------------------------------------------------------------------------------

SETTINGS = {key: value for key, value in tiny("simclr", epochs=1, batch_size=20).items() if key != "data"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of 60 images, what `files` says of them, and a run on the folder."""
    root = tmp_path_factory.mktemp("objects")
    found = files(root / "photos", True, 60)
    return root / "photos", found, twofold.pretrain(root / "photos", out=root / "run", quiet=True, **SETTINGS)


def measured(run):
    return [{key: row.get(key) for key in ("loss", "knn", "knn_untrained")} for row in run.metrics]


@pytest.mark.parametrize(
    ("kind", "name"), [("tensor", "python:Tensor"), ("a Dataset", "python:Pairs"), ("Hugging Face", "python:Dataset")]
)
def test_a_run_is_the_run_on_the_folder(kind, name, photos, tmp_path):
    _, found, run = photos
    data = KINDS[kind](*found)
    own = twofold.pretrain(data, out=tmp_path / "run", quiet=True, **SETTINGS)
    assert measured(own) == measured(run)
    assert own.recipe.data == name
    if kind == "a Dataset":
        assert sorted(data.read) == [0, *range(60)]  # the first one also to see whether it can be used


def test_a_run_needs_its_objects_again(photos, tmp_path):
    folder, (_, images, labels), run = photos
    data = np.stack(images), labels
    own = twofold.pretrain(data, out=tmp_path / "run", quiet=True, **SETTINGS)
    assert measured(twofold.pretrain(data, out=tmp_path / "run", quiet=True, **SETTINGS)) == measured(own)
    with pytest.raises(UsageError, match="60 other images"):
        twofold.pretrain((255 - data[0], labels), out=tmp_path / "run", quiet=True, **SETTINGS)
    for call in (twofold.evaluate, twofold.diagnose):
        with pytest.raises(UsageError, match=r"python:ndarray\): pass data= again"):
            call(own)
    mine, theirs = twofold.evaluate(own, data, "knn")["scores"], twofold.evaluate(run, protocols="knn")["scores"]
    for one, scores in ((own, mine), (run, theirs)):
        assert list(scores["knn"]["pretrained"]["recall"]) == one.evaluation["data"]["classes"]
    assert mine["knn"]["pretrained"]["recall"].keys() != theirs["knn"]["pretrained"]["recall"].keys()
    for score, other in zip(mine["knn"].values(), theirs["knn"].values(), strict=True):  # classes here have no names
        assert list(score.pop("recall").values()) == list(other.pop("recall").values())
    assert mine == theirs
    assert own.evaluation["data"]["name"] == "python:ndarray"
    assert twofold.diagnose(own, data, images=20)["measures"] == twofold.diagnose(run, images=20)["measures"]
    assert np.array_equal(twofold.embed(own, data).vectors, twofold.embed(run, folder).vectors)
    assert twofold.scan(data)["train"].sizes == twofold.scan(folder)["train"].sizes == {(12, 15): 60}
    assert "pass data= again" in twofold.report(own).read_text()
    assert "pass data= again" not in twofold.report(own, points=20, data=data).read_text()


def test_a_comparison_of_objects(photos, tmp_path, monkeypatch):
    """Its runs are made here, as if in a process of their own: what is sent to it is pickled."""
    _, (_, images, labels), _ = photos

    def here(*arguments):
        running.carry_out(*pickle.loads(pickle.dumps(arguments)), parent=0)

    monkeypatch.setattr(running, "apart", here)
    monkeypatch.setattr(running, "end_with_parent", lambda parent: None)
    settings = {**SETTINGS, "method": "simclr", "knn_every": 0, "limit": 40}
    settings.pop("method")

    def compared(data):
        return twofold.compare(data, "simclr", tmp_path / "out", protocols="knn", quiet=True, **settings)

    result = compared((np.stack(images), labels))
    assert result["data"]["name"] == "python:ndarray"
    assert 0 <= result["methods"]["simclr"]["scores"]["pretrained"]["knn"]["value"] <= 1
    with pytest.raises(UsageError, match="other settings \\(images: "):
        compared((255 - np.stack(images), labels))
    with pytest.raises(UsageError, match="python:Pairs cannot be pickled"):
        compared(Pairs(images, labels, lambda image: image))


@pytest.mark.parametrize("none", [None, -1])
@pytest.mark.parametrize("beside", [False, True])
def test_images_without_a_label_among_labelled_ones_are_mentioned(none, beside):
    images = list(np.zeros((12, 8, 8, 3), np.uint8))
    for missing, notes in (((), 0), ((3, 5), 1), (range(12), 0)):
        labels = [none if number in missing else number % 2 for number in range(12)]
        data = (images, labels) if beside else list(zip(images, labels, strict=True))
        opened = open_data({"train": images, "test": data})
        assert opened.test.labels == (None if missing else labels)
        assert len(opened.notes) == len(open_data(data).notes) == notes
        if notes:
            assert opened.notes[0].endswith("but 2 of 12 have none, for example item 3")
