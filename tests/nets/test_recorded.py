"""A network in a folder comes back as it was written, and what is damaged is named."""

import json
import random

import pytest
import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.nets.recorded import fill, recorded_spec, recorded_weights, write
from twofold.storage import files

SPEC = BackboneSpec("test_resnet", {"drop_rate": 0.1}, "small", 8, (0.5,) * 3, (0.2,) * 3, 4)


@pytest.fixture
def folder(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    write(tmp_path / "run", network, SPEC)
    return tmp_path / "run", network.state_dict()


def test_it_comes_back(folder):
    path, state = folder
    assert recorded_spec(path) == SPEC
    found = recorded_weights(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_a_network_that_shares_weights_comes_back(tmp_path):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    network[2].weight = network[0].weight
    write(tmp_path / "run", network, SPEC)
    found = recorded_weights(tmp_path / "run")
    assert torch.equal(found["0.weight"], network[0].weight)
    assert torch.equal(found["2.weight"], network[0].weight)


def test_every_flipped_bit_in_weights_is_found_or_harmless(folder):
    """At a quarter of the bytes of a small file: it is refused, or every tensor is what it was."""
    path, state = folder
    file, dice, refused = path / "backbone.safetensors", random.Random(0), 0
    content = file.read_bytes()
    places = dice.sample(range(len(content)), len(content) // 4)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << dice.randrange(8)
        file.write_bytes(changed)
        try:
            found = recorded_weights(path)
        except UsageError as error:
            said = str(error)
            refused += said.startswith(f"{file} is damaged (") and "\n" not in said
        else:
            assert all(torch.equal(found[key], value) for key, value in state.items()), place
    assert refused > 0.9 * len(places)


def test_weights_of_others_have_no_checksum(folder):
    from safetensors.torch import save_file

    path, state = folder
    save_file({key: value.contiguous() for key, value in state.items()}, path / "backbone.safetensors")
    assert recorded_weights(path).keys() == state.keys()


@pytest.mark.parametrize("kind", ["cut", "empty", "zeros"])
def test_damaged_weights_are_named(kind, folder):
    file = folder[0] / "backbone.safetensors"
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-40], "empty": b"", "zeros": bytes(len(content))}[kind])
    with pytest.raises(UsageError, match=r"backbone\.safetensors is damaged \(.*\): bring it back from a copy"):
        recorded_weights(folder[0])


def test_weights_of_another_network_are_said_in_one_line(folder):
    path, _ = folder
    with pytest.raises(UsageError, match=r"does not fit the network that is described beside it") as said:
        fill(nn.Linear(2, 3), recorded_weights(path), path)
    assert "\n" not in str(said.value)
    assert "(it lacks weight)" in str(said.value)
    for state, words in (
        ({"weight": torch.ones(3, 4)}, r"weight is \[3, 4\] in it and \[3, 2\] there"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(3), "more": torch.ones(1)}, "it also has more"),
    ):
        with pytest.raises(UsageError, match=words):
            fill(nn.Linear(2, 3), state, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 3}, "its name cannot be 3"),
        ({"name": None}, "its name cannot be None"),
        ({"arguments": []}, "its arguments cannot be"),
        ({"stem": "tiny"}, "its stem cannot be 'tiny'"),
        ({"size": -1}, "its size cannot be -1"),
        ({"size": 10**9}, "its size cannot be"),
        ({"mean": ["0.5"]}, "its mean cannot be"),
        ({"interpolation": "none"}, "its interpolation cannot be"),
        ({"channels": True}, "its channels cannot be"),
        ({"sizes": 8}, "it has 'sizes'"),
    ],
)
def test_a_description_that_is_none_is_said(change, said, folder):
    file = folder[0] / "backbone.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UsageError, match=rf"backbone\.json is damaged \({said}.*: bring it back"):
        recorded_spec(folder[0])


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', "[" * 100_000, '{"name": "\xff'])
def test_what_is_no_json_is_said(text, tmp_path):
    (tmp_path / "backbone.json").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"backbone\.json is damaged"):
        recorded_spec(tmp_path)


def test_a_checksum_sees_names_types_and_shapes():
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    others = [
        {"a": tensors["a"].reshape(3, 2), "b": tensors["b"]},
        {"a": tensors["a"], "c": tensors["b"]},
        {"a": tensors["a"].view(torch.int32), "b": tensors["b"]},
        {"a": tensors["a"], "b": torch.tensor(4)},
        {"a": tensors["a"]},
    ]
    assert files.checksum(dict(reversed(tensors.items()))) == files.checksum(tensors)
    assert len({files.checksum(some) for some in [tensors, *others]}) == 6
