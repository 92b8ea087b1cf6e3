"""Are mirrored images like the images? Of letters and digits they are not."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

from tests.conftest import picture
from twofold.data.mirrored import FEWEST, mirrored_alike, thumbnail, without_repetitions


def thumbnails(images):
    return torch.stack([thumbnail(np.atleast_3d(image).transpose(2, 0, 1)) for image in images])


def written(rng):
    """A letter that has no mirror image among the letters, somewhere, of some size, in some colour."""
    canvas = Image.new("RGB", (48, 40), tuple(rng.integers(0, 60, 3).tolist()))
    font, place = ImageFont.load_default(int(rng.integers(22, 34))), tuple(rng.integers(0, 14, 2).tolist())
    colour = tuple(rng.integers(150, 256, 3).tolist())
    ImageDraw.Draw(canvas).text(place, str(rng.choice(list("FGJLPRS47"))), colour, font)
    return np.asarray(canvas)


def test_scanned_digits_and_letters_have_no_mirror_images_among_them():
    rng = np.random.default_rng(0)
    assert not mirrored_alike(thumbnails(load_digits().images[:300]))
    assert not mirrored_alike(thumbnails([written(rng) for _ in range(400)]))


def test_scenes_that_are_seen_from_either_side_have():
    rng = np.random.default_rng(0)
    scenes = [picture(24, 20, number) for number in range(300)]
    assert mirrored_alike(thumbnails([scene[:, :: rng.choice([1, -1])] for scene in scenes]))
    digits = load_digits().images[:300]
    assert mirrored_alike(thumbnails([digit[:, :: rng.choice([1, -1])] for digit in digits]))


def test_frames_of_one_scene_are_no_reason_not_to_mirror():
    """Each frame has others much like it, and none like its mirror image; letters that recur still have none."""
    rng = np.random.default_rng(0)
    scenes = [picture(24, 20, number)[:, :: rng.choice([1, -1])] for number in range(150)]
    frames = [np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255) for scene in scenes for _ in range(6)]
    assert len(without_repetitions(thumbnails(frames))) == 150
    assert mirrored_alike(thumbnails(frames))
    letters = [written(rng) for _ in range(4)]
    again = [np.clip(letter + rng.normal(0, 3, letter.shape), 0, 255) for letter in letters for _ in range(60)]
    assert not mirrored_alike(thumbnails(again))  # fewer different ones than say anything: all are looked at


def test_nothing_is_said_of_few_images_or_of_many_copies_of_one():
    assert mirrored_alike(thumbnails(load_digits().images[: FEWEST - 1]))
    assert mirrored_alike(torch.zeros(FEWEST, 3, 16, 16))
