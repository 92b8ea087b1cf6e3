"""What an evaluation says of published weights that it did not measure."""

from twofold.evaluation.advice import unmeasured
from twofold.recipe.augment import Augment
from twofold.recipe.general import Recipe


def settings(**changes):
    return Recipe(augment=Augment(colours="rgb"), **{"backbone": "resnet18", "image_size": 96} | changes)


def test_published_weights_beside_a_run_from_random_ones():
    (said,) = unmeasured(settings(), [], "photos")
    assert said.endswith("--baseline resnet18")
    assert unmeasured(settings(), ["resnet50"], "photos") == []
    assert unmeasured(settings(image_size=32), [], "photos") == []


def test_starting_weights_that_are_made_for_larger_images(tmp_path, monkeypatch):
    (said,) = unmeasured(settings(weights="published"), [], "photos")
    assert "96 pixels; the starting weights are made for 224" in said
    assert said.endswith("twofold evaluate resnet18 photos")
    monkeypatch.chdir(tmp_path)
    assert unmeasured(settings(weights="w.pth"), ["resnet50"], "photos") == []  # not here, or it was a run
    (tmp_path / "w.pth").touch()
    (said,) = unmeasured(settings(weights="w.pth"), ["resnet50"], "photos")
    assert said.endswith("twofold evaluate w.pth --backbone resnet18 photos")
    (tmp_path / "my w.pth").touch()
    (said,) = unmeasured(settings(weights="my w.pth"), ["resnet50"], "my photos")  # as a shell takes them
    assert said.endswith("twofold evaluate 'my w.pth' --backbone resnet18 'my photos'")
    (said,) = unmeasured(settings(weights="published"), [], "python:list")
    assert said.endswith("twofold.evaluate('resnet18', data=...)")
    (said,) = unmeasured(settings(weights="w.pth"), ["resnet50"], "python:list")
    assert said.endswith("twofold.evaluate('w.pth', backbone='resnet18', data=...)")
    assert unmeasured(settings(weights="published", image_size=224), [], "photos") == []
    assert unmeasured(settings(weights=str(tmp_path)), [], "photos") == []  # another run's
