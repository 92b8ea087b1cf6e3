"""Neighbours: whose image a second view shows, where a run starts from weights."""

import pytest
import torch
from safetensors.torch import load_file

from tests.data.making import Breaking, photos
from tests.training.making import pretrain
from twofold.encoding.encoder import Encoder
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.run import Run
from twofold.training.neighbours import find, kept, neighbours


def test_how_many_there_are():
    rows = torch.randn(30, 5)
    assert neighbours(rows, 4).shape == (30, 4)
    assert neighbours(rows[:3], 4).shape == (3, 2)
    with pytest.raises(UsageError, match="at least 1 neighbour among 2 rows"):
        neighbours(rows[:1], 4)


def test_what_cannot_be_read_is_nobodys_neighbour(tmp_path):
    network = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
    spec = BackboneSpec("mine", {}, "default", 16, (0.5,) * 3, (0.5,) * 3)
    find(Run(tmp_path), Breaking(photos(12), {3, 7}), Encoder(network, spec), 16, 2)
    table = kept(Run(tmp_path), 12)
    assert table.shape == (12, 2)
    others = [row for i, row in enumerate(table.tolist()) if i not in (3, 7)]
    assert table[3].tolist() == [3, 3]
    assert table[7].tolist() == [7, 7]
    assert not {3, 7} & {number for row in others for number in row}


def test_a_run_from_weights_has_them_and_one_from_scratch_has_not(finished, tmp_path):
    run = pretrain(tmp_path / "run", weights=finished.path, epochs=1)
    table = load_file(run.path / "neighbours.safetensors")["neighbours"]
    assert run.recipe.neighbours == table.shape[1] == 5
    assert finished.recipe.neighbours == 0
    assert not (finished.path / "neighbours.safetensors").exists()


def test_a_method_of_one_image_refuses_them(finished, tmp_path):
    for method in ("rotation", "pirl"):
        with pytest.raises(UsageError, match=f"{method} compares an image with itself alone: set --neighbours 0"):
            pretrain(tmp_path / "run", method, neighbours=3, weights=finished.path)
    assert not (tmp_path / "run").exists()


def test_random_weights_say_nothing_of_what_is_near(tmp_path):
    with pytest.raises(UsageError, match="neighbours are found by starting weights, and there are none"):
        pretrain(tmp_path / "run", neighbours=3)
    assert not (tmp_path / "run").exists()


def test_without_them_a_run_cannot_go_on(finished, tmp_path):
    run = pretrain(tmp_path / "run", weights=finished.path, epochs=1)
    (run.path / "neighbours.safetensors").unlink()
    with pytest.raises(UsageError, match=r"neighbours\.safetensors is missing"):
        pretrain(tmp_path / "run", weights=finished.path, epochs=1)


def test_features_that_are_no_numbers_have_no_neighbours():
    features = torch.randn(6, 4)
    assert torch.equal(neighbours(features.numpy(), 2), neighbours(features, 2))
    features[2, 1] = torch.nan
    with pytest.raises(UsageError, match="not finite"):
        neighbours(features, 2)
