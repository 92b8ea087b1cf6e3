"""Comparisons: equal compute, figures taken from the runs themselves, and no run made twice."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import timm
import torch
from safetensors.torch import save_file

import twofold
from tests.conftest import TINY, encoded, picture, resolved, tiny
from tests.evaluation.grain import draw
from tests.killing import KILLED, at_call
from tests.together import command, commanded, together
from tests.watching import alive, wait_for
from twofold.cli import tables
from twofold.comparison import compare as comparison
from twofold.comparison.running import result_of
from twofold.comparison.standings import COSTS
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.storage import files

ROOT = Path(__file__).parents[2]
SMALL = {k: v for k, v in TINY.items() if k not in ("data", "epochs")} | dict(optimizer="adamw", lr=2e-3, knn_every=0)
SMALL.pop("projector")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "out"
    settings = {**SMALL, "limit": 200, "epochs": 4}
    return out, twofold.compare("digits", "rotation,simclr", out, seeds=2, quiet=True, **settings)


def test_operations_are_those_of_a_plain_count():
    """A linear layer of a projector: N rows, forward and two products backward, of two views; and nothing else grew."""
    source = open_data("digits").limited(64).train
    narrow, wide = (
        comparison.operations(resolved(**{**tiny("simclr"), "projector": (width, 16)}), source) for width in (32, 64)
    )
    features, more = 16, 32
    per_view = 2 * more * (features + 16)  # multiplications and additions of one row through both layers
    assert wide - narrow == 2 * 3 * per_view  # two views; forward, gradient of the input, gradient of the weights


def test_it_counts_its_runs_to_the_last(compared, capfd):
    """Also those that were done before; each is followed by its evaluation, which tells how far it is."""
    out, _ = compared
    twofold.compare("digits", "rotation,simclr", out, seeds=2, **{**SMALL, "limit": 200, "epochs": 4})
    said = capfd.readouterr().err
    for number, name in enumerate(("rotation-0", "simclr-0", "rotation-1", "simclr-1"), 1):
        assert f"run {number} of 4: {out / name}, " in said
    assert said.splitlines()[-1] == "4 of 4 runs are done"


def test_every_method_gets_the_same_compute(compared):
    _, result = compared
    first, second = result["methods"].values()
    assert first["epochs"] == 4
    assert second["epochs"] == max(1, round(4 * first["operations"] / second["operations"]))
    assert second["operations"] != first["operations"]


def test_figures_are_those_of_the_runs(compared):
    out, result = compared
    for name, own in result["methods"].items():
        assert own["runs"] == [f"{name}-0", f"{name}-1"]
        runs = [twofold.Run(out / run) for run in own["runs"]]
        assert [run.recipe.seed for run in runs] == [0, 1]
        assert all(run.recipe.epochs == own["epochs"] for run in runs)
        values = [run.evaluation["scores"]["linear"]["pretrained"]["value"] for run in runs]
        score = own["scores"]["pretrained"]["linear"]
        assert score["values"] == values
        assert score["value"] == pytest.approx(statistics.fmean(values))
        assert score["spread"] == pytest.approx(statistics.stdev(values))
        gains = [run.evaluation["gains"]["linear"]["value"] for run in runs]
        before = [run.evaluation["scores"]["linear"]["untrained"]["value"] for run in runs]
        assert gains == pytest.approx([value - base for value, base in zip(values, before, strict=True)])
        assert (own["gains"]["linear"]["values"], own["gains"]["linear"]["above"]) == (gains, "untrained")
        assert own["measures"] == [run.diagnosis["measures"]["features"] for run in runs]
        assert all(100 < peak < 10_000 for peak in own["peak_memory_mb"])
    written = files.read_json(out / "compare.json", "")  # again, perhaps, by a test before
    assert written | {"date": ""} == result | {"date": ""}
    page = (out / "compare.html").read_text()
    assert "rotation" in page
    assert "http://" not in page.split("<script>")[0]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_any_screen_and_loads_nothing(compared, browser, width):
    out, result = compared
    asked, wrong = [], []
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"file://{out}/compare.html")
    page.locator(".plot svg .scatterlayer .trace path").first.wait_for(state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name, own in result["methods"].items():
        score = own["scores"]["pretrained"]["linear"]
        text = page.locator("#scores tr", has_text="linear").inner_text()
        assert f"{100 * score['value']:.1f} ± {100 * score['spread']:.1f}" in text
        assert page.locator("#costs tr", has_text=name).count() == 1
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "file://"))] == []


def test_what_is_done_is_not_done_again(compared):
    out, result = compared
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint.pt")}
    again = twofold.compare(
        "digits", "rotation,simclr", out, seeds=2, quiet=True, **{**SMALL, "limit": 200, "epochs": 4}
    )
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint.pt")} == before
    assert {**again, "date": ""} == {**result, "date": ""}


def test_another_recipe_is_refused_and_other_protocols_are_measured_anew(compared, monkeypatch):
    out, _ = compared
    settings = {**SMALL, "limit": 200, "epochs": 4}
    with monkeypatch.context() as later:
        later.setattr("twofold.comparison.running.CROPS", 99)
        with pytest.raises(UsageError, match=r"made with other settings \(crops: \d+ -> 99"):
            twofold.compare("digits", "simclr,rotation", out, seeds=2, quiet=True, **settings)
    with pytest.raises(UsageError, match=r"made with other settings \(lr: 0.002 -> 3"):
        twofold.compare("digits", "rotation,simclr", out, quiet=True, **settings | {"lr": 3.0})
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint.pt")}
    result = twofold.compare("digits", "rotation,simclr", out, protocols="retrieval", quiet=True, **settings)
    assert next(iter(result["methods"]["simclr"]["scores"]["pretrained"])) == "retrieval_map"
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint.pt")} == before


def test_attention_is_counted():
    """A transformer block more: its layers' weights and two products of n x n x d, forward and twice that backward."""
    source = open_data("digits").limited(32).train
    settings = [resolved(**tiny("mae", image_size=16, backbone_arguments={"depth": depth})) for depth in (1, 2)]
    small, large = (comparison.operations(wanted, source) for wanted in settings)
    vit = timm.create_model("test_vit", num_classes=0, img_size=16, patch_size=2)
    weights = sum(p.numel() for p in vit.blocks[0].parameters() if p.ndim == 2)
    tokens = 1 + 64 - round(0.75 * 64)  # views of 16 pixels get patches of 2
    assert large - small == 3 * 2 * tokens * (weights + 2 * tokens * vit.embed_dim)


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was_stopped(tmp_path):
    """Interrupted from outside in its second run: the first is kept as it is, the second resumes."""
    words = ["--methods", "rotation,simclr", "--epochs", "10", "--limit", "128", "--batch-size", "32",
             "--knn-every", "0", "--optimizer", "adamw", "--protocols", "knn", "--save-every", "1",
             "--precision", "fp32",
             "--backbone-arguments", "layers", "[1,1,1,1]", "channels", "[8,8,16,16]"]  # fmt: skip
    command = [sys.executable, "-m", "twofold", "compare", "digits", *words, "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    second = tmp_path / "out" / "simclr-0" / "checkpoint.pt"
    until = time.monotonic() + 120
    while not second.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert said.count("a sample of 128 of 1438 images") == 1  # not once more by every run
    steps = torch.load(second, weights_only=True)["step"]
    first = (tmp_path / "out" / "rotation-0" / "checkpoint.pt").stat().st_mtime_ns
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "rotation-0" / "checkpoint.pt").stat().st_mtime_ns == first
    assert f"goes on at step {steps} of" in (tmp_path / "out" / "simclr-0" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(methods="simclr,vicregg"), "did you mean vicreg"),
        (dict(methods="simclr", seeds=0), "seeds must be at least 1"),
        (dict(methods="simclr,mae", backbone="resnet18"), "vision transformer"),
        (dict(methods="simclr", temperature=-1), "temperature"),
        (dict(methods="simclr", protocols="lienar"), "did you mean linear"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_computed(settings, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        twofold.compare("digits", out=tmp_path / "out", quiet=True, **{"epochs": 1, "limit": 64, **settings})
    assert not (tmp_path / "out").exists()


def test_images_without_labels_are_compared_by_their_masks(tmp_path):
    """Protocols that need labels are left out, as they are for any images without labels."""
    draw(tmp_path / "shapes", 40)
    settings = {**SMALL, "image_size": 32, "epochs": 1, "batch_size": 16}
    shapes, protocols = tmp_path / "shapes", "knn,segmentation"
    result = twofold.compare(shapes, "simclr", tmp_path / "out", protocols=protocols, quiet=True, **settings)
    scores = result["methods"]["simclr"]["scores"]
    assert list(scores["pretrained"]) == list(scores["untrained"]) == ["segmentation_miou", "segmentation_accuracy"]
    assert 0 < result["raw_pixels"]["segmentation_miou"]["value"] < 1
    assert "segmentation, mean IoU" in tables.comparison(result)
    assert "segmentation, pixel accuracy" in (tmp_path / "out" / "compare.html").read_text()
    with pytest.raises(UsageError, match="no training image in digits has a mask"):
        twofold.compare("digits", "simclr", tmp_path / "digits", protocols="knn,segmentation", quiet=True, **settings)


def test_a_teacher_that_looks_once_at_each_image_costs_nothing_more(tmp_path):
    source = open_data("digits").limited(64).train
    costs = []
    for layers in ((1, 1, 1, 1), (2, 2, 2, 2)):
        folder = tmp_path / str(sum(layers))
        network = {**TINY["backbone_arguments"], "layers": layers}
        wanted = tiny("rotation", epochs=1, backbone_arguments=network)
        teacher = twofold.pretrain(out=folder, quiet=True, **wanted)
        settings = tiny("distill", teacher=str(teacher.path), resident=True, projector=())
        costs.append(comparison.operations(resolved(**settings), source))
    assert costs[0] == costs[1]


def test_half_of_the_images_says_what_more_may_change(tmp_path):
    """As many steps, the same images to be measured on, and the features of the common start computed once."""
    first = twofold.pretrain(out=tmp_path / "first", quiet=True, **tiny("simclr", epochs=1))
    settings = {**SMALL, "limit": 200, "epochs": 2, "backbone_arguments": TINY["backbone_arguments"]}
    asked = dict(starts=str(first.path), protocols="knn,linear", half=True, quiet=True)
    result = twofold.compare("digits", "simclr,rotation", tmp_path / "out", **asked, **settings)
    way = result["half"]["way"]
    assert result["half"]["images"] == 100
    best = max(result["methods"].values(), key=lambda own: own["scores"]["pretrained"]["linear"]["value"])
    assert best["runs"] == [f"{way}-0"]
    half, whole = (twofold.Run(tmp_path / "out" / name) for name in (f"{way}-half-0", f"{way}-0"))
    assert (half.recipe.limit, len(half.metrics)) == (100, len(whole.metrics))
    assert half.evaluation["data"] == whole.evaluation["data"]
    assert whole.evaluation["data"]["train"] == 200  # all that the comparison has
    assert half.evaluation["scores"]["knn"]["start"] == whole.evaluation["scores"]["knn"]["start"]
    values = [half.evaluation["scores"]["linear"]["pretrained"]["value"]]
    assert result["half"]["scores"]["linear"]["values"] == values
    assert "with half of the images, 100, in as many steps" in result["verdict"][-1]
    assert len(list((tmp_path / "out" / "features").glob("start-*.npz"))) == 2  # training and test images
    assert not (whole.path / "features").exists()
    with pytest.raises(UsageError, match="half needs labels"):
        twofold.compare("digits", "simclr", tmp_path / "other", half=True, protocols="retrieval", **settings)


def test_a_comparison_of_runs_that_all_diverged_ends_in_words(tmp_path):
    settings = {**SMALL, "limit": 64, "epochs": 2, "optimizer": "sgd", "lr": 1e30, "batch_size": 16}
    result = twofold.compare("digits", "simclr", tmp_path / "out", half=True, quiet=True, **settings)
    assert result["methods"]["simclr"]["scores"]["pretrained"] == {}
    assert result["verdict"] == ["no way has a score, so none was made again with half of the images"]
    assert (tmp_path / "out" / "compare.html").exists()


def test_a_script_without_a_guard_is_told_so(tmp_path):
    """Each run's process reads the script again, and would begin the comparison in it again."""
    script = tmp_path / "mine.py"
    settings = {**SMALL, "limit": 64, "epochs": 1, "out": "out"}
    script.write_text(f"import twofold\ntwofold.compare('digits', 'simclr', **{settings!r})\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.splitlines()[-1].endswith('put what the script does under `if __name__ == "__main__":`')


def test_ways_are_compared_from_several_starts_and_the_page_says_what_came_out(tmp_path):
    first = twofold.pretrain(out=tmp_path / "first", quiet=True, **tiny("simclr", epochs=1))
    settings = {**SMALL, "limit": 200, "epochs": 2, "backbone_arguments": TINY["backbone_arguments"]}
    result = twofold.compare(
        "digits",
        "simclr",
        tmp_path / "out",
        starts=["scratch", str(first.path)],
        protocols="knn",
        quiet=True,
        **settings,
    )
    assert list(result["methods"]) == ["simclr", "simclr-first"]
    assert result["methods"]["simclr"]["scores"]["start"] == {}
    assert result["methods"]["simclr-first"]["scores"]["start"]["knn"]["value"] > 0
    assert "the weights as they are" in result["verdict"][0]
    page = (tmp_path / "out" / "compare.html").read_text()
    assert result["verdict"][0] in page
    assert re.search(r"<th[^>]*>\s*start\s*</th>", page)


def test_other_weights_under_the_same_name_are_refused_and_another_spelling_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = timm.create_model("resnet18", num_classes=0, **TINY["backbone_arguments"])
    save_file(network.state_dict(), "w.safetensors")
    settings = {**SMALL, "limit": 64, "epochs": 1, "stem": "default", "quiet": True, "protocols": "knn"}
    settings["backbone_arguments"] = TINY["backbone_arguments"]
    made = twofold.compare("digits", "rotation", "out", starts="w.safetensors", **settings)
    again = twofold.compare("digits", "rotation", "out", starts=str(tmp_path / "w.safetensors"), **settings)
    assert {**again, "date": ""} == {**made, "date": ""}
    network.conv1.weight.data += 1
    save_file(network.state_dict(), "w.safetensors")
    with pytest.raises(UsageError, match=r"made with other settings \(weights: \w+ -> \w+\)"):
        twofold.compare("digits", "rotation", "out", starts="w.safetensors", **settings)


def test_weights_that_do_not_fit_are_found_before_anything_is_computed(tmp_path):
    network = timm.create_model("resnet18", num_classes=0, **TINY["backbone_arguments"])
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    settings = {**SMALL, "limit": 64, "epochs": 1, "backbone": "test_resnet", "backbone_arguments": {}}
    starts = ["scratch", str(tmp_path / "w.safetensors")]
    with pytest.raises(UsageError, match="does not fit"):
        twofold.compare("digits", "rotation", tmp_path / "out", starts=starts, quiet=True, **settings)
    assert not (tmp_path / "out").exists()


def timeless(result):
    """What a comparison found, without what is another every time."""
    own = {name: {k: v for k, v in way.items() if k not in COSTS} for name, way in result["methods"].items()}
    return {key: own if key == "methods" else value for key, value in result.items() if key not in ("date", "versions")}


def carried_out(out, settings):
    """A comparison as this process of a launch carries it out: what it found, and whose runs it made."""
    mine = []

    def noted(own, path, shared):
        mine.append(path.name)
        return result_of(own, path, shared)

    comparison.result_of = noted
    return twofold.compare("digits", "rotation,simclr", out, half=True, quiet=True, **settings), mine


def test_several_processes_share_the_runs(compared, tmp_path):
    """Each run has one process, and comes to what it comes to where one process makes all of them."""
    _, alone = compared
    codes, found = together(2, carried_out, tmp_path, {**SMALL, "limit": 200, "epochs": 4, "seeds": 2})
    (first, ours), (second, theirs) = found
    assert codes == [0, 0]
    assert timeless(first) == timeless(second)
    assert timeless(first)["methods"] == timeless(alone)["methods"]
    best = first["half"]["runs"][0].removesuffix("-half-0")
    assert ours == ["rotation-0", "rotation-1", f"{best}-half-0"]
    assert theirs == ["simclr-0", "simclr-1", f"{best}-half-1"]
    assert files.read_json(tmp_path / "compare.json", "") == json.loads(json.dumps(first))
    assert (tmp_path / "compare.html").exists()


def elsewhere(rank, folders):
    os.chdir(folders[rank])


def test_processes_without_a_folder_in_common_are_refused(tmp_path):
    folders = [tmp_path / "node0", tmp_path / "node1"]
    for folder in folders:
        folder.mkdir()
    words = "compare digits --methods rotation,simclr --epochs 1 --limit 64 --device cpu --out out".split()
    codes, said, _ = commanded(2, words, elsewhere, folders)
    assert (codes, said) == ([2, 2], ["twofold: all processes must share the folder out"])


def end_early(rank):
    if rank == 1:
        at_call(comparison, "result_of", 1)


def test_a_killed_process_of_several_ends_the_others_when_they_wait_for_it(tmp_path):
    words = "compare digits --methods rotation,simclr --epochs 1 --limit 64 --device cpu --out".split()
    codes, found = together(2, command, [*words, tmp_path / "out"], end_early)
    assert codes == [0, KILLED]
    assert found[0][:2] == (1, ["twofold: another process has ended, or does not answer"])
    assert (tmp_path / "out" / "rotation-0" / "result.json").exists()
    assert not (tmp_path / "out" / "compare.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_comparison_leaves_no_process(number, tmp_path):
    """Killed while a run of it is at work, which has data workers of its own."""
    (tmp_path / "photos").mkdir()
    for seed in range(24):
        (tmp_path / "photos" / f"{seed}.png").write_bytes(encoded(picture(40, 50, seed)))
    words = "--methods simclr --epochs 100000 --batch-size 8 --resident no --workers 2 --image-size 32 --device cpu"
    command = [
        sys.executable,
        "-m",
        "twofold",
        "compare",
        tmp_path / "photos",
        "--out",
        tmp_path / "out",
        *words.split(),
    ]
    options = dict(cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen([*command, "--backbone", "test_resnet"], **options)
    wait_for((tmp_path / "out" / "simclr-0" / "metrics.jsonl").exists, 240)
    wait_for(lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 3)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (-number if number == signal.SIGKILL else 1)
    assert "Traceback" not in said
    wait_for(lambda: not any(alive(child) for child in started), 20)
