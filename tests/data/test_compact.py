"""Many texts and numbers in few arrays are what a list of them would be."""

import pickle

import numpy as np
import pytest

from twofold.data.compact import Coded, Numbers, Texts

WORDS = ["", "a", "", "Grüße, 猫 🙂", "x" * 1000, "no \udce9 text", ""]


def test_texts_are_those_of_a_list():
    texts = Texts(iter(WORDS))
    assert list(texts) == WORDS
    assert (len(texts), texts[-3], texts[1:4], "a" in texts) == (7, "x" * 1000, WORDS[1:4], True)
    assert list(Texts.joined([texts, Texts([]), texts])) == WORDS * 2
    assert list(Texts.joined([])) == []
    assert list(pickle.loads(pickle.dumps(texts))) == WORDS
    for index in (7, -8):
        with pytest.raises(IndexError):
            texts[index]


def test_texts_take_no_more_than_their_bytes_and_eight_each():
    texts = Texts(f"{number:020}" for number in range(1000))
    assert len(pickle.dumps(texts)) < 1000 * 28 + 1000


def test_numbers_are_those_of_a_list():
    numbers = Numbers(np.array([3, 1, 2], np.int32))
    assert list(numbers) == list(numbers[0:]) == [3, 1, 2]
    assert numbers == [3, 1, 2] != numbers[1:] == Numbers([1, 2])
    assert type(numbers[-1]) is int
    assert (bool(numbers), bool(Numbers([]))) == (True, False)
    assert np.asarray(numbers, np.int64).dtype == np.int64
    assert sorted(numbers) == [1, 2, 3]


def test_texts_that_recur_are_kept_once():
    coded = Coded()
    assert coded.of(["b", "a", None, "b"]).tolist() == [0, 1, -1, 0]
    assert coded.of(iter("ca")).tolist() == [2, 1]
    assert coded.texts == ["b", "a", "c"]
