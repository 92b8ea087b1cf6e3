"""What is measured, by one process or by several that share the passes through the networks."""

import os
import shutil

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import twofold
from tests.conftest import encoded, picture
from tests.together import commanded, together
from twofold import launch
from twofold.data.opening import open_data
from twofold.encoding import crops
from twofold.encoding.backbones import LOOKED_AT
from twofold.evaluation.subject import run_subject
from twofold.run import Run
from twofold.storage import files


def scores_of(path):
    found = files.read_json(path, "")
    return {key: found[key] for key in ("scores", "representations", "data", "verdict", "notes")}


def take_small_batches(rank):
    crops.BATCH = 64


def outcomes(tmp_path, words_of):
    """What one process measures, and what two do, who say it once."""
    found = []
    for world in (1, 2):
        out = tmp_path / f"{world}.json"
        words = ["evaluate", *words_of(world), "--protocols", "knn,linear,fewshot", "--out", out]
        codes, said, results = commanded(world, words, take_small_batches)
        assert (codes, said, len(results)) == ([0] * world, [], 1)
        found.append(scores_of(out))
    return found


def test_several_processes_measure_a_run_as_one_does(finished, tmp_path):
    """To the bit; the first one keeps the features."""
    runs = [tmp_path / name / "run" for name in "ab"]
    for run in runs:
        shutil.copytree(finished.path, run, ignore=shutil.ignore_patterns("features"))
    alone, shared = outcomes(tmp_path, lambda world: [runs[world - 1], "digits"])
    assert alone == shared
    names = [sorted(path.name for path in (run / "features").iterdir()) for run in runs]
    assert names[0] == names[1] != []


def test_several_processes_measure_a_backbone_as_one_does(tmp_path):
    """To the bit, raw pixels included."""
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "w.safetensors")
    alone, shared = outcomes(tmp_path, lambda _: [tmp_path / "w.safetensors", "digits", "--backbone", "test_resnet"])
    assert alone == shared


def images_read(path):
    """How many images this process of a launch has read, and the names of the representations that it got."""
    take_small_batches(0)
    data, read = open_data("digits"), []
    image = type(data.train).image

    def counted(source, number):
        read.append(number)
        return image(source, number)

    type(data.train).image = counted
    with launch.processes():
        subject = run_subject(Run(path), data, ["knn"], [], "cpu", lambda *_: None, True, path / "features")
    return len(read), sorted(subject.representations)


def test_copies_of_training_images_among_the_test_images_are_said():
    random = np.random.default_rng(0)
    train = random.integers(0, 256, (20, 40, 40, 3), dtype=np.uint8)
    test = random.integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    labels = np.arange(20) % 2
    network = timm.create_model("test_resnet", num_classes=0)

    def notes(images):
        data = {"train": (train, labels), "test": (images, labels[:5])}
        return twofold.evaluate(network, data, protocols=("knn",), size=32)["notes"]

    assert notes(test) == []
    said = "test images have the pixels of a training image, so scores are too high"
    assert notes(np.concatenate([train[7:10], test[:2]])) == [f"3 of 5 {said}"]
    turned_one = np.concatenate([train[7:8, :, ::-1], train[3:4], test[:3]])
    assert notes(turned_one) == ["1 of 5 test images has the pixels of a training image, so scores are too high"]


def test_a_class_with_most_of_the_test_images_is_said():
    """Accuracies are to be read beside what calling all images that would give."""
    features, labels = np.random.default_rng(0).normal(size=(50, 4)), np.array(["empty"] * 40 + ["deer"] * 10)
    said = "80.0 % of the test images are of class empty: so many are right if all are called that"
    assert twofold.evaluate(features, labels=labels, protocols="knn")["notes"] == [said]
    labels[20:40] = "deer"
    assert twofold.evaluate(features, labels=labels, protocols="knn")["notes"] == []
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8, 3), dtype=np.uint8)
    numbers = np.array([2] * 60 + [10, 11] * 10)  # which have no names
    (note,) = twofold.evaluate(nn.Flatten(), (images, numbers), protocols="knn", size=8)["notes"]
    assert note.startswith("75.0 % of the test images are of class 2:")


def test_each_process_reads_its_share_and_the_first_one_gets_the_features(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.path, run, ignore=shutil.ignore_patterns("features"))
    _, ((first, had), (second, nothing)) = together(2, images_read, run)
    first -= LOOKED_AT  # to see how bright and how long images are
    assert first + second == 1797
    assert abs(first - second) <= 2 * 64
    assert had == ["pretrained", "projector", "raw_pixels", "untrained"]
    assert nothing == []


def test_features_that_are_kept_are_not_shared_out_again(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    twofold.evaluate(run, "digits", protocols="knn")
    _, ((first, had), (second, _)) = together(2, images_read, run)
    assert (first, second) == (LOOKED_AT, 0)
    assert had == ["pretrained", "projector", "raw_pixels", "untrained"]


def elsewhere(rank, folders):
    os.chdir(folders[rank])


def test_processes_that_find_other_images_end(finished, tmp_path):
    folders = [tmp_path / "node0", tmp_path / "node1"]
    for shade, folder in enumerate(folders):
        for label in "ab":
            (folder / "photos" / label).mkdir(parents=True)
            for i in range(6):
                (folder / "photos" / label / f"{i}.png").write_bytes(encoded(picture(9, 9, i + shade)))
    codes, said, _ = commanded(2, ["evaluate", finished.path, "photos"], elsewhere, folders)
    assert codes == [2, 2]
    assert len(said) == 1
    assert said[0].startswith("twofold: all processes must measure the same images, but process 0")


def test_processes_that_find_other_weights_end(finished, tmp_path):
    """As where the run's directory is a machine's own."""
    folders = [tmp_path / "node0", tmp_path / "node1"]
    for folder in folders:
        shutil.copytree(finished.path, folder / "run", ignore=shutil.ignore_patterns("features"))
    path = folders[1] / "run" / "backbone.safetensors"
    save_file({name: value * 2 for name, value in load_file(path).items()}, path)
    codes, said, _ = commanded(2, ["evaluate", "run", "digits"], elsewhere, folders)
    assert codes == [2, 2]
    assert len(said) == 1
    assert said[0].startswith("twofold: all processes must measure the same networks, but process 0")
