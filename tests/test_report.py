"""The page's numbers, pictures and sentences; what a browser makes of them is in test_page.py."""

import base64
import io
import json
import math
import shutil

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tests.conftest import encoded, picture, tiny
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.page import plots
from twofold.page.atlas import assign, colours, describe, gallery
from twofold.page.layout import affinities, flat, nearest_neighbours
from twofold.page.pictures import restored, seen, view_rows
from twofold.page.render import packed
from twofold.page.report import report
from twofold.page.thumbs import ACROSS, sheets, shrink, side_for
from twofold.recipe import recipe, toml
from twofold.run import Run, build_method


def blobs(n, groups=3, d=32, seed=0):
    """Unit rows [n, d] around ``groups`` directions, and which one each is near."""
    random = torch.Generator().manual_seed(seed)
    member = torch.arange(n) % groups
    centres = torch.randn(groups, d, generator=random)
    return F.normalize(centres[member] + 0.4 * torch.randn(n, d, generator=random)), member


# -- where images lie -------------------------------------------------------------------------------------------------


def test_nearest_are_the_largest_cosines():
    unit, _ = blobs(60)
    index, cosine = nearest_neighbours(unit, 8)
    rows = unit.double().numpy()
    for i, row in enumerate(rows):
        expected = sorted((float(row @ other), j) for j, other in enumerate(rows) if j != i)[::-1][:8]
        assert index[i].tolist() == [j for _, j in expected]
        np.testing.assert_allclose(cosine[i], [c for c, _ in expected], atol=1e-6)
    assert nearest_neighbours(unit[:1], 8)[0].shape == (1, 0)


@pytest.mark.parametrize("landmarks", [300, 90])
def test_what_is_apart_stays_apart_on_the_map(landmarks):
    """Whether all images are landmarks or most are placed among them."""
    unit, member = blobs(300)
    places = flat(unit, landmarks)
    assert torch.equal(places, flat(unit, landmarks))
    assert float(places.abs().max()) == pytest.approx(1, abs=1e-5)
    near = torch.cdist(places, places).topk(6, largest=False).indices[:, 1:]
    assert (member[near] == member[:, None]).float().mean() > 0.99


def test_affinities_have_the_perplexity():
    square = torch.rand(20, 15, generator=torch.Generator().manual_seed(0)).sort(1).values * 7
    p = affinities(square, 5.0)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose((-(p * p.log()).sum(1)).exp(), 5, rtol=1e-3)
    assert (p.diff(dim=1) <= 0).all()  # nearer is likelier


@pytest.mark.parametrize("n", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("alike", [True, False])
def test_a_map_of_few_or_collapsed_images_is_finite(n, alike):
    unit = F.normalize(torch.ones(n, 16)) if alike else blobs(n, d=16)[0]
    for landmarks in (100, 20):
        places = flat(unit, landmarks)
        assert places.shape == (n, 2)
        assert places.isfinite().all()
        assert places.abs().max() <= 1 + 1e-6
    member = assign(unit, min(n, 10))
    assert sum(cluster.size for cluster in describe(unit, member, None)) == n


def test_clusters_are_described():
    """Largest first; examples are nearest to the mean; the label is the commonest."""
    unit, member = blobs(100, groups=2)
    labels = ["ant" if m == 0 or i < 10 else "bee" for i, m in enumerate(member.tolist())]
    unequal = torch.where(torch.arange(100) < 90, member, 0)
    for cluster in describe(unit, unequal, labels):
        inside = [i for i in range(100) if unequal[i] == cluster.number]
        assert cluster.size == len(inside)
        middle = unit[inside].double().mean(0)
        expected = sorted(inside, key=lambda i: -float(unit[i].double() @ middle))[:8]
        assert cluster.examples == expected
        names = [labels[i] for i in inside]
        assert cluster.label == max(set(names), key=names.count)
        assert cluster.share == names.count(cluster.label) / len(names)
    found = assign(unit, 2)
    assert len({(int(a), int(b)) for a, b in zip(found, member, strict=True)}) == 2  # the planted ones
    assert (found == 0).sum() >= (found == 1).sum()


def test_the_gallery_shows_every_group():
    near = torch.zeros(50, 3, dtype=torch.long)
    groups = [str(i % 5) for i in range(50)]
    rows = gallery(near, groups)
    assert len(rows) == 8
    assert {groups[row[0]] for row in rows} == set("01234")


def test_colours_differ():
    assert len(set(colours(60))) == 60
    assert all(len(colour) == 7 for colour in colours(60))


def test_numbers_are_packed_little_endian():
    assert base64.b64decode(packed(np.array([1, 258], ">u2"))["data"]) == b"\x01\x00\x02\x01"


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_thumbnails_shrink_as_they_grow_many():
    assert [side_for(n, 224) for n in (5, 2000, 50_000)] == [96, 96, 32]
    assert side_for(50_000, 28) == 28
    assert side_for(10**6, 8) == 8


def test_a_small_thumbnail_is_on_its_sheet_exactly():
    images = torch.randint(0, 256, (ACROSS**2 + 40, 3, 8, 8), dtype=torch.uint8)
    files = sheets(shrink(images, 8))
    assert len(files) == 2
    for number in (0, 33, ACROSS**2 - 1, ACROSS**2 + 35):
        which, place = divmod(number, ACROSS**2)
        sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(files[which]))))
        top, left = place // ACROSS * 8, place % ACROSS * 8
        assert np.array_equal(sheet[top : top + 8, left : left + 8], images[number].permute(1, 2, 0))


def pixels(shown):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))))


def resolved(method, **settings):
    given = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.3, 0.4), "size": 8, **tiny(method)}
    return recipe.make(**{**given, "method": method, **settings})


def test_an_undistorted_view_is_the_image():
    still = dict(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), jitter=0.0, grayscale=0.0, flip=0.0)
    rows = view_rows(open_data("digits").train, resolved("simclr", **still))
    assert len(rows) == 6
    for row in rows:
        assert [len(step) for step in row.steps] == [2, 2, 2]
        for view in (view for step in row.steps for view in step):
            assert np.abs(pixels(view)[..., :3].astype(int) - pixels(row.image)).max() <= 1


def test_masked_patches_and_gaps_are_blank_and_small_crops_small():
    def blank(view):
        shown = pixels(view)  # without a fourth channel where all is opaque
        return 1 - (shown[..., 3] > 0).mean() if shown.shape[-1] == 4 else 0.0

    source = open_data("digits").train
    for row in view_rows(source, resolved("mae")):
        assert blank(row.steps[0][0]) == pytest.approx(0.75)
    for row in view_rows(source, resolved("pirl")):
        whole, tiles = row.steps[0]
        assert blank(whole) == 0
        assert blank(tiles) > 0.2
    rows = view_rows(source, resolved("simclr", size=16, small_crops=3, small_size=8))
    assert [view.share for view in rows[0].steps[0]] == [1, 1, 0.5, 0.5, 0.5]


def test_tiles_are_those_the_method_sees(monkeypatch):
    """What jigsaw's backbone is given is what the page shows."""
    from twofold.training.resolve import backbone_spec

    from tests.conftest import batch_of
    from twofold.methods import jigsaw

    settings = resolved("jigsaw")
    method = build_method(settings, backbone_spec(settings), 4).eval()
    batch = batch_of(method, settings, [torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))])
    given = []
    monkeypatch.setattr(
        jigsaw.Jigsaw, "encode", lambda self, view: given.append(view.images) or self.backbone(view.images)
    )
    method(batch, 0.0)
    shown = seen(batch, method)[0]
    side = method.tile
    cell = shown.shape[-1] // 3
    gap = (cell - side) // 2
    for number, tile in enumerate(given[0].unflatten(0, (4, 9))[2]):
        top, left = number // 3 * cell + gap, number % 3 * cell + gap
        assert torch.equal(shown[2, :3, top : top + side, left : left + side], tile)
    assert restored(shown, settings).dtype == torch.uint8


# -- figures ----------------------------------------------------------------------------------------------------------


def score(value, **more):
    return {"metric": "accuracy", "value": value, "spread": 0.01, "over": "10 draws of the labels", **more}


EVALUATION = {
    "representations": ["raw pixels", "pretrained"],
    "scores": {
        "knn": {"raw pixels": score(0.5), "pretrained": score(0.75)},
        "1 a class": {"raw pixels": score(0.25, labels=10), "pretrained": score(0.5, labels=10)},
        "all labels": {"raw pixels": score(0.5, labels=1000), "pretrained": score(0.875, labels=1000)},
        "10 % of labels": {"raw pixels": score(0.375, labels=100), "pretrained": score(0.625, labels=100)},
        "finetune, 10 % of labels": {"pretrained": score(0.5, labels=100)},
        "10 clusters, 1 label each": {"raw pixels": score(0.1, labels=10), "pretrained": score(0.2, labels=10)},
        "10 clusters, 5 labels each": {"raw pixels": score(0.2, labels=50), "pretrained": score(0.4, labels=50)},
        "10 clusters, NMI": {"pretrained": {"metric": "NMI", "value": 0.5, "spread": 0.1, "over": "5 starts"}},
    },
    "data": {"name": "digits", "split": "the data's own test part", "train": 1438, "test": 359},
}

DIAGNOSIS = {
    "findings": [
        {"name": "<b>collapse</b>", "since": 3, "seen": "rank 1.2 of 32", "cause": "no repulsion", "advice": "--lr 0.1"}
    ],
    "looks": 40,
    "measures": {"features": {"rank": 5.5, "std": 0.01}, "embeddings": {"rank": 1.2}, "untrained": {"rank": 7.0}},
    "spectrum": {"features": [0.7, 0.2, 0.1], "embeddings": [1.0, 0.0], "untrained": [0.5, 0.3, 0.2]},
}


def test_few_labels_against_accuracy():
    probe, clusters = plots.labels_curves(EVALUATION)
    line = probe["data"][1]
    assert (line["name"], line["x"], line["y"]) == ("pretrained", [10, 100, 1000], [50, 62.5, 87.5])
    assert line["error_y"]["array"] == [1, 1, 1]
    assert clusters["data"][0]["y"] == [10, 20]


def test_every_figure_is_one_for_the_library(finished):
    """plotly's own check of every name and value; and JSON has no word for what is no number."""
    rows = finished.metrics
    for number, row in enumerate(rows):
        row["measures"] = {"std": math.nan if number == 2 else 1.0, "dead_dimensions": 0.5 * number}
    found = [
        *plots.curves(finished.metrics),
        *plots.measures(rows),
        *plots.labels_curves(EVALUATION),
        plots.spectrum(DIAGNOSIS["spectrum"]),
    ]
    assert len(found) == 5 + 2 + 2 + 1
    for figure in found:
        go.Figure(data=figure["data"], layout=figure["layout"])
        json.dumps(figure, allow_nan=False)


def test_curves_have_every_term_and_the_yardsticks(finished):
    loss, knn, *others = plots.curves(finished.metrics)
    assert [line["name"] for line in loss["data"]] == ["loss", "attraction", "repulsion"]
    assert loss["layout"]["shapes"][0]["y0"] == finished.metrics[0]["collapsed"]
    assert knn["layout"]["annotations"][0]["text"] == "untrained"
    assert [figure["title"] for figure in others] == ["Learning rate", "Norm of the gradient", "Images a second"]
    assert plots.curves([]) == []


def test_long_runs_are_thinned_and_end_where_they_end():
    rows = [{"step": step} for step in range(123_457)]
    steps = [row["step"] for row in plots.thinned(rows)]
    assert len(steps) <= plots.POINTS + 1
    assert (steps[0], steps[-1]) == (0, 123_456)


# -- the page ---------------------------------------------------------------------------------------------------------


def elsewhere(finished, path, data, **files):
    """A copy of a finished run whose recipe names other data, with more files in it."""
    shutil.copytree(finished.path, path)
    changed = recipe.replace(finished.recipe, data=str(data), limit=0)
    (path / "recipe.toml").write_text(toml.dumps(changed))
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return Run(path)


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
    assert "0.500 ± 0.100" in page
    assert "&lt;b&gt;collapse&lt;/b&gt;" in page
    assert "<b>collapse</b>" not in page
    assert "since step 3" in page
    assert "Looks healthy" not in page
    assert "50 of 1,438 images" in page


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
    assert page.count("data:image/webp") == 6 * 7


def test_progress_and_points(finished, tmp_path):
    told = []
    run = elsewhere(finished, tmp_path / "run", "digits")
    report(run, points=30, tell=lambda what, done, of: told.append((what, done, of)))
    assert ("features and thumbnails", 30, 30) in told
    with pytest.raises(UsageError, match="points must be at least 1"):
        report(run, points=0)
