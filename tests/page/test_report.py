"""The page's sentences; what a browser makes of it is in test_browser.py."""

import html
import re
import shlex

import pytest

from tests.conftest import encoded, picture
from tests.page.results import DIAGNOSIS, EVALUATION, elsewhere
from twofold.errors import UsageError
from twofold.page.report import report


def text_of(run, **settings):
    return report(run, **settings).read_text()


def folder(path, names):
    for number, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(encoded(picture(12, 10, number)))
    return path


def test_scores_and_the_doctors_word(finished, tmp_path):
    page = text_of(
        elsewhere(finished, tmp_path / "run", "digits", evaluation=EVALUATION, diagnosis=DIAGNOSIS), points=50
    )
    assert "75.0 ± 1.0" in page
    assert "+6.2 ± 2.0" in page
    assert "0.500 ± 0.100" in page
    assert "the pretrained features are clearly better" in page
    assert "a note of the evaluation" in page
    assert "&lt;b&gt;collapse&lt;/b&gt;" in page
    assert "<b>collapse</b>" not in page
    assert "since step 3" in page
    assert "Looks healthy" not in page
    assert "50 of 1,438 images" in page


def test_the_command_of_its_recipe_can_be_copied(finished, tmp_path):
    page = text_of(elsewhere(finished, tmp_path / "my runs" / "a b", "digits"), points=20)
    (shown,) = re.findall("<code>(twofold pretrain --recipe .*?)</code>", page)
    assert shlex.split(html.unescape(shown))[3:] == [f"{tmp_path}/my runs/a b/recipe.toml"]


def test_a_healthy_run_and_one_nobody_looked_at(finished, tmp_path):
    healthy = elsewhere(finished, tmp_path / "a", "digits", diagnosis={**DIAGNOSIS, "findings": []})
    assert "Looks healthy" in text_of(healthy, points=20)
    assert "twofold diagnose" in text_of(elsewhere(finished, tmp_path / "b", "digits"), points=20)


def test_without_labels_with_one_class_with_five_images(finished, tmp_path):
    plain = text_of(elsewhere(finished, tmp_path / "a", folder(tmp_path / "plain", [f"{i}.png" for i in range(5)])))
    assert '"title": "labels"' not in plain
    assert 1 <= plain.count("<h3><i") <= 5  # clusters
    single = text_of(elsewhere(finished, tmp_path / "b", folder(tmp_path / "one", [f"cat/{i}.png" for i in range(12)])))
    assert '"names": ["cat"]' in single
    assert "label cat, 100 %" in single


def test_names_and_labels_are_no_markup(finished, tmp_path):
    name = "<script>alert(1)<∕script>"
    page = text_of(
        elsewhere(finished, tmp_path / "run", folder(tmp_path / name, [f"{name}/{name}{i}.png" for i in range(6)]))
    )
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_unreadable_images_are_left_out(finished, tmp_path):
    images = folder(tmp_path / "images", [f"{i}.png" for i in range(12)])
    for number in (0, 7):
        (images / f"{number}.png").write_text("no image")
    assert "10 of 12 images" in text_of(elsewhere(finished, tmp_path / "a", images))
    for path in images.iterdir():
        path.write_text("no image")
    page = text_of(elsewhere(finished, tmp_path / "b", images))
    assert "cannot be shown: not one of 12 images can be read" in page
    assert "views cannot be shown" in page


def test_data_that_moved_and_a_run_that_has_not_ended(finished, tmp_path):
    page = text_of(elsewhere(finished, tmp_path / "a", tmp_path / "gone"))
    assert page.count("cannot be shown: there is no") == 2
    assert "Norm of the gradient" in page
    run = elsewhere(finished, tmp_path / "b", "digits")
    for name in ("backbone.json", "backbone.safetensors", "metrics.jsonl"):
        (run.path / name).unlink()
    page = text_of(run)
    assert "its pretraining has not ended" in page
    assert "not made a step yet" in page
    assert len(re.findall(r'<img [^>]*src="data:image/webp;base64,', page)) == 6 * 7


def test_the_backbone_is_built_once(finished, builds, tmp_path):
    text_of(elsewhere(finished, tmp_path / "run", "digits"), points=20)
    assert builds == ["resnet18"]


def test_progress_and_points(finished, tmp_path):
    told = []
    run = elsewhere(finished, tmp_path / "run", "digits")
    report(run, points=30, tell=lambda what, done, of: told.append((what, done, of)))
    assert ("features and thumbnails", 30, 30) in told
    with pytest.raises(UsageError, match="points must be at least 1"):
        report(run, points=0)
