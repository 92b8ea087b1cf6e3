"""Images of five bands of 16 bits through every command, and folders with images of several kinds."""

import json

import numpy as np
import pytest
import tifffile
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import twofold
from tests.cli.running import twofold as command
from tests.conftest import encoded, picture, tiny
from twofold.errors import UsageError
from twofold.evaluation import finetune
from twofold.recipe.declared import methods
from twofold.run import Run

BANDS, IMAGES = 5, 60


def landscape(number):
    """Five bands of 16 bits, [5, 12, 12]; in the fifth alone odd images are brighter."""
    random = np.random.default_rng(number)
    smooth = np.kron(random.uniform(200, 900, (BANDS, 3, 3)), np.ones((4, 4)))
    smooth[4] += 9000 * (number % 2)
    return (smooth + random.normal(0, 20, smooth.shape)).clip(0, 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    """A folder of TIFF files with two classes."""
    root = tmp_path_factory.mktemp("land")
    for number in range(IMAGES):
        path = root / "ab"[number % 2] / f"{number:02}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, landscape(number), photometric="minisblack", planarconfig="separate")
    return root


def settings(**more):
    wanted = tiny("simclr", limit=None, batch_size=20, epochs=2, optimizer="sgd", lr=0.05, image_size=8)
    return {name: value for name, value in (wanted | more).items() if name != "data"}


@pytest.fixture(scope="module")
def run(land, tmp_path_factory):
    return twofold.pretrain(land, out=tmp_path_factory.mktemp("run") / "run", quiet=True, **settings())


def test_a_run_learns_of_bands(run, land):
    recipe, spec = run.recipe, run.spec
    assert (recipe.channels, recipe.depth, recipe.augment.colours, recipe.resident) == (5, "uint16", "none", True)
    assert (recipe.augment.saturation, recipe.augment.grayscale) == (0, 0)
    pixels = np.stack([landscape(number) for number in range(IMAGES)]).transpose(1, 0, 2, 3).reshape(BANDS, -1) / 65535
    assert np.allclose(recipe.mean, pixels.mean(1), rtol=1e-4)
    assert np.allclose(recipe.std, pixels.std(1), rtol=1e-4)
    log = (run.path / "log.txt").read_text()
    assert "channels are no colours: the jitter is a gain and an offset" in log
    assert "knn_untrained" in run.metrics[0]
    stated = json.loads((run.path / "backbone.json").read_text())
    assert (stated["channels"], stated["arguments"]["in_chans"], len(stated["mean"])) == (5, 5, 5)
    assert twofold.load_backbone(run).pretrained_cfg["input_size"] == (5, 8, 8)
    assert spec.build().conv1.in_channels == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_it_learns_the_same(workers, run, land, tmp_path):
    """Of the same crops, up to rounding, which grows from step to step."""
    streamed = twofold.pretrain(land, out=tmp_path, quiet=True, **settings(resident=False, workers=workers))
    for step, (ours, theirs) in enumerate(zip(streamed.metrics, run.metrics, strict=True)):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5 if step < 3 else 1e-2)


def test_a_run_of_bands_starts_from_weights_for_colours(finished, land, tmp_path):
    """The first convolution gets a combination of theirs; the mean of three channels is none of five."""
    one = twofold.pretrain(land, out=tmp_path, quiet=True, **settings(weights=str(finished.path), epochs=1))
    assert len(one.recipe.mean) == 5
    assert "starts from the run" in (one.path / "log.txt").read_text()


def test_a_run_of_bands_is_measured(run, finished, monkeypatch):
    for name, value in dict(STEPS=4, EPOCHS=1, SEEDS=2, RATES=(1e-3,)).items():
        monkeypatch.setattr(finetune, name, value)
    scores = twofold.evaluate(run, protocols="knn,linear,finetune,patch_retrieval")["scores"]
    assert scores["knn"]["raw_pixels"]["value"] == 1
    assert set(scores["finetune"]) == {"untrained", "pretrained"}
    with pytest.raises(UsageError, match="takes images of 3 channels, and these have 5"):
        twofold.evaluate(run, baseline=[str(finished.path)])
    patches = twofold.features(run, np.stack([landscape(number) for number in range(4)]), patches=True)
    assert patches.vectors.shape[0] == 4
    measures = twofold.diagnose(run)["measures"]
    assert measures["features"]["lidar"] > 0


def test_vectors_of_bands(run, land):
    embedded = twofold.embed(run, land)
    assert embedded.vectors.shape == (IMAGES, 16)
    images = np.stack([landscape(number) for number in range(IMAGES)])
    given = twofold.features(run, images)
    ours = {int(name[2:4]): row for name, row in zip(embedded.names, embedded.vectors, strict=True)}
    assert np.allclose(given.numpy(), np.stack([ours[number] for number in range(IMAGES)]), atol=1e-6)
    backbone, spec = twofold.load_backbone(run), run.spec
    assert torch.equal(twofold.features(backbone, images, size=8, mean=spec.mean, std=spec.std), given)
    photographs = np.stack([picture(12, 12, number) for number in range(4)])
    with pytest.raises(UsageError, match="row 0 cannot be read: it has 3 channels of uint8, where 5 are due"):
        twofold.features(run, photographs)
    with pytest.raises(
        UsageError, match="not one of 4 images can be read, the first, row 0: it has 3 channels of uint8, w"
    ):
        twofold.embed(run, photographs)


def test_the_backbone_of_bands_elsewhere(run, tmp_path, capsys):
    code, said, _ = command(capsys, "export", run.path, "--out", tmp_path / "w.safetensors")
    assert (code, "in_chans=5" in said, "Conv2d(5," in said) == (0, True, True)
    stated = json.loads((run.path / "backbone.json").read_text())
    plain = timm.create_model(stated["name"], num_classes=0, **stated["arguments"])
    plain.conv1, plain.maxpool = torch.nn.Conv2d(5, 64, 3, 1, 1, bias=False), torch.nn.Identity()
    plain.load_state_dict(load_file(tmp_path / "w.safetensors"))
    images = torch.rand(2, 5, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(images), twofold.load_backbone(run)(images))
    code, _, error = command(capsys, "export", run.path, "--out", tmp_path / "t.safetensors", "--format", "torchvision")
    assert (code, "torchvision's networks take 3 channels, this one 5" in error) == (2, True)


@pytest.mark.filterwarnings("ignore")
def test_the_graph_takes_bands(run, tmp_path):
    import onnx

    assert "[N, 5, 8, 8]" in twofold.export(run, tmp_path / "b.onnx", "onnx")
    shape = onnx.load(tmp_path / "b.onnx").graph.input[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim][1:] == [5, 8, 8]


def test_the_page_shows_bands(run, capsys):
    code, _, _ = command(capsys, "report", run.path, "--bands", 5, 4, 3, "--points", 20)
    assert code == 0
    assert "data:image/webp" in (run.path / "report.html").read_text()
    code, _, error = command(capsys, "report", run.path, "--bands", 6)
    assert (code, "bands must be one or three numbers from 1 to 5, not 6" in error) == (2, True)


def test_a_scan_says_what_kinds_there_are(land, capsys):
    code, said, _ = command(capsys, "scan", land)
    assert (code, "kinds: 60 with 5 channels of uint16" in said) == (0, True)


@pytest.mark.parametrize("method", methods())
def test_every_method_takes_floats_of_any_range(method, tmp_path):
    """Two bands, of which one is far outside 0 to 1, as an elevation in metres is."""
    random = np.random.default_rng(0)
    images = random.normal([[[[0.3]], [[1500.0]]]], [[[[0.1]], [[300.0]]]], (32, 2, 24, 24)).astype(np.float32)
    wanted = tiny(method, limit=None, batch_size=16, epochs=1, knn_every=0)
    if method == "distill":
        with pytest.raises(UsageError, match=r"the teacher .* takes images of 3 channels, and these have 2$"):
            twofold.pretrain(out=tmp_path / "run", quiet=True, **{**wanted, "data": images})
        wanted["teacher"] = "tests.networks:teacher_of_two_bands"
    one = twofold.pretrain(out=tmp_path / "run", quiet=True, **{**wanted, "data": images})
    assert (one.recipe.channels, one.recipe.depth) == (2, "float32")
    assert one.recipe.mean[1] == pytest.approx(1500, rel=0.02)
    assert all(np.isfinite(row["loss"]) for row in one.metrics)
    assert all(row["loss"] < 100 for row in one.metrics)  # as of normalised pixels, not of metres


@pytest.fixture
def mixed(tmp_path):
    """Photographs, one greyscale image of 16 bits, and an RGB image of 16 bits."""
    root = tmp_path / "mixed"
    root.mkdir()
    for number in range(20):
        (root / f"{number:02}.png").write_bytes(encoded(picture(12, 12, number)))
    Image.fromarray(picture(12, 12)[..., 0].astype(np.uint16) * 257).save(root / "grey.png")
    tifffile.imwrite(root / "deep.tif", picture(12, 12).astype(np.uint16) * 257, photometric="rgb")
    return root


@pytest.mark.parametrize("resident", [True, False])
def test_a_folder_of_several_kinds_is_refused_or_converted(resident, mixed, tmp_path):
    more = dict(resident=resident, workers=0, batch_size=8, epochs=1)
    one_line = (
        r"^(\S+) has [13] channels? of uint\d+, (\S+) has [13] channels? of uint\d+: images must be of one kind; --ch"
    )
    with pytest.raises(UsageError, match=one_line):
        twofold.pretrain(mixed, out=tmp_path / "refused", quiet=True, **settings(**more))
    assert not (tmp_path / "refused").exists()
    run = twofold.pretrain(mixed, out=tmp_path / "run", quiet=True, **settings(**more, channels=3))
    assert (run.recipe.channels, run.recipe.depth, run.recipe.augment.colours) == (3, "uint8", "rgb")
    log = (run.path / "log.txt").read_text()
    assert "images with 1 channel of uint16 are made 3 channels of uint8" in log
    assert "images with 3 channels of uint16 are made 3 channels of uint8" in log
    assert "cannot read" not in log
    embedded = twofold.embed(run, mixed)
    rows = dict(zip(embedded.names, embedded.vectors, strict=True))
    assert np.array_equal(rows["deep.tif"], rows["00.png"])  # the same picture in 16 bits
    said = [f"images with {count} of uint16 are made 3 channels of uint8" for count in ("1 channel", "3 channels")]
    assert list(twofold.embed(run, mixed, tmp_path / "v.npy").notes[-2:]) == said
    (mixed / "other").mkdir()  # so that there are two classes
    for path in sorted(mixed.glob("*0*.png")):
        path.rename(mixed / "other" / path.name)
    (mixed / "one").mkdir()
    for path in [*mixed.glob("*.png"), *mixed.glob("*.tif")]:
        path.rename(mixed / "one" / path.name)
    assert twofold.evaluate(run, mixed, "knn")["notes"][:2] == said


def test_the_recipe_of_a_converted_folder_is_the_same_run_again(mixed, tmp_path):
    from twofold.recipe import toml

    more = dict(batch_size=8, epochs=1)
    first = twofold.pretrain(mixed, out=tmp_path / "a", quiet=True, **settings(**more, channels=3))
    again = toml.load(first.path / "recipe.toml").given | {"out": str(tmp_path / "b")}
    second = twofold.pretrain(quiet=True, **again)
    assert Run.open(second).recipe == first.recipe or second.recipe.mean == first.recipe.mean
    assert [row["loss"] for row in first.metrics] == [row["loss"] for row in second.metrics]
