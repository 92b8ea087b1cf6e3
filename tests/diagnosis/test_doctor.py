"""Collapses planted in real short runs get the right diagnosis, with their cause; a healthy run gets none."""

import numpy as np
import pytest
import torch

import twofold
from tests.cli.running import twofold as command
from tests.conftest import OWN, encoded, picture, resolved, tiny
from twofold import cli
from twofold.data.inspection import Inspection
from twofold.data.opening import open_data
from twofold.diagnosis.diagnose import found_in
from twofold.diagnosis.doctor import examine
from twofold.errors import Collapsed, Diverged
from twofold.recipe.declared import methods
from twofold.training import opening

LENGTH = dict(limit=512, epochs=12, knn_every=0)
"""96 steps."""
SMALL = dict(backbone="tests.networks:three_layers", backbone_arguments={}, **LENGTH)
LARGE_STEPS = dict(optimizer="adamw", lr=4e-2, projector_norm="none")
"""Steps so large that a network of this size runs into what its loss permits."""

COMPLETE, DIMENSIONAL, CLUSTER = "complete collapse", "dimensional collapse", "one cluster takes all"
STUCK = "loss stuck at its trivial value"


PLANTED = {
    "VICReg without variance": ("vicreg", dict(variance=0.0), {COMPLETE, STUCK}, "variance term"),
    "VICReg without covariance": ("vicreg", dict(covariance=0.0), {DIMENSIONAL}, "covariance term"),
    "LeJEPA without SIGReg": ("lejepa", dict(sigreg=0.0), {COMPLETE, STUCK}, "SIGReg has the weight 0"),
    "Barlow Twins without redundancy": (
        "barlow_twins", dict(redundancy=0.0, projector_norm="batch", epochs=30, crop_scale=(0.08, 1.0)),
        {DIMENSIONAL}, "redundancy term",
    ),
    "BYOL without predictor and momentum": (
        "byol", dict(predictor=(), momentum=(0.0, 0.0)), {COMPLETE, STUCK}, "neither a predictor nor",
    ),
    "SimSiam without predictor": ("simsiam", dict(predictor=()), {COMPLETE, STUCK}, "no predictor"),
    "SimCLR without repulsion": ("simclr", dict(repulsion=0.0), {COMPLETE, STUCK}, "repulsion has the weight 0"),
    "MoCo without repulsion": (
        "moco", dict(repulsion=0.0, momentum=(0.8, 0.8)), {COMPLETE, STUCK}, "repulsion has the weight 0",
    ),
    "SwAV without Sinkhorn": ("swav", dict(iterations=0, queue=0), {CLUSTER}, "not balanced"),
    "DINO without centring": ("dino", dict(center_momentum=1.0), {CLUSTER}, "not centred"),
    "joint with prototypes and codes as they are": (
        "joint", dict(energy="cross_entropy", energy_weight=1.0, functionals="", prototypes=25, target="stop_gradient",
                      temperature=0.1, predictor=(), memory=0),
        {CLUSTER}, "neither balanced nor centred",
    ),
    "joint with an energy alone": (
        "joint", dict(functionals="", target="shared", predictor=(), memory=0), {COMPLETE, STUCK}, "no functional",
    ),
}  # fmt: skip


def pretrain(out, method, **settings):
    return twofold.pretrain(out=out, quiet=True, **tiny(method, **{**SMALL, **LARGE_STEPS, **settings}))


QUICK = ("VICReg without variance", "VICReg without covariance", "BYOL without predictor and momentum",
         "SwAV without Sinkhorn")  # fmt: skip


@pytest.mark.parametrize("planted", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in PLANTED])
def test_a_planted_collapse_gets_its_name_and_cause(planted, tmp_path):
    method, settings, names, cause = PLANTED[planted]
    run = pretrain(tmp_path / "run", method, **settings)
    found = {finding.name: finding for finding in found_in(run)}
    assert names <= found.keys()
    assert (COMPLETE in found) + (DIMENSIONAL in found) < 2
    assert DIMENSIONAL not in found or DIMENSIONAL in names or CLUSTER in names
    assert all(cause in found[name].cause for name in names)
    assert all(5 < found[name].since < len(run.metrics) - 3 for name in names)
    log = (run.path / "log.txt").read_text()
    assert all(log.count(f"{name} since step") == 1 for name in names)  # while it ran, once


@pytest.mark.parametrize("method", ["byol", "swav", *(pytest.param(m, marks=pytest.mark.slow) for m in methods())])
def test_a_healthy_run_gets_no_finding(method, tmp_path):
    """Of every method, at any of its moments: 96 steps at a rate that suits them."""
    small = SMALL if "image_size" not in OWN.get(method, {}) else LENGTH  # it is made for images of 8 pixels
    settings = tiny(method, **small, optimizer="adamw", lr=2e-3)
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    rows = [row for row in run.metrics if "measures" in row]
    assert len(rows) > 90
    assert [examine(rows[:n], run.recipe) for n in range(1, len(rows) + 1)] == [[]] * len(rows)
    assert "Likely cause" not in (run.path / "log.txt").read_text()


def test_a_run_is_ended_when_asked_for(tmp_path, capsys):
    """Exit code 3, a checkpoint of that step, the reason in one line; without the setting it goes on."""
    out = {"out": str(tmp_path / "run"), "on_collapse": "stop", "variance": 0.0, "projector": "32 16"}
    settings = tiny("vicreg", **SMALL | LARGE_STEPS | out)
    words = ["pretrain", settings.pop("data")]
    del settings["backbone_arguments"]
    words += [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", *str(value).split())]
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 3
    run = twofold.Run(tmp_path / "run")
    assert run.recipe.options.projector_norm == "none"  # a value of this setting, elsewhere the word for no value
    done = torch.load(run.path / "checkpoint.pt", weights_only=True)["step"]
    assert done == len(run.metrics) < 70
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("twofold: stopped at step")
    assert COMPLETE in said


def test_weights_that_sit_in_the_trivial_solution_are_seen_at_once(tmp_path, monkeypatch):
    """A projector whose last layer begins at zero: constant embeddings, and no gradient leads away."""
    build = opening.build_method

    def zeroed(*arguments):
        method = build(*arguments)
        for parameter in method.projector[-1].parameters():
            torch.nn.init.zeros_(parameter)
        return method

    monkeypatch.setattr(opening, "build_method", zeroed)
    run = pretrain(tmp_path / "run", "vicreg", epochs=2)
    found = found_in(run)[0]
    assert (found.name, found.since) == ("no gradient at the start", 0)
    assert "no gradient at the start since step 0" in (run.path / "log.txt").read_text()


def test_a_memory_that_is_not_fed_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("twofold.nets.memory.Queue.enqueue", lambda *_: None)
    run = pretrain(tmp_path / "run", "moco", lr=1e-3, epochs=5, queue=128)
    (found,) = found_in(run)
    assert found.name == "dead memory"
    assert "100% of the memory's entries are still random" in found.seen


def test_steps_far_too_large_are_seen(tmp_path):
    run = pretrain(tmp_path / "run", "simclr", optimizer="sgd", lr=1e4)
    found = {finding.name for finding in found_in(run)}
    assert "exploding norms" in found


def test_a_run_that_goes_on_is_not_told_twice(tmp_path):
    """The history is read back: what was found before the stop is old, and measures are those of an unbroken run."""
    with pytest.raises(Collapsed):
        pretrain(tmp_path / "run", "vicreg", variance=0.0, on_collapse="stop")
    run = pretrain(tmp_path / "run", "vicreg", variance=0.0)
    whole = pretrain(tmp_path / "whole", "vicreg", variance=0.0)
    assert (run.path / "log.txt").read_text().count(f"{COMPLETE} since step") == 1
    assert [row.get("measures") for row in run.metrics] == [row.get("measures") for row in whole.metrics]


def test_a_stop_is_kept_when_the_run_goes_on(tmp_path):
    for _ in range(2):
        with pytest.raises(Collapsed):
            pretrain(tmp_path / "run", "vicreg", variance=0.0, on_collapse="stop")
    assert len(twofold.Run(tmp_path / "run").metrics) < 90


def rows_of(**signs):
    """Sixty measured steps of a healthy run, with some measures replaced."""
    healthy = {"cosine": 0.3, "centred_rank": 10.0, "rank_limit": 16.0, "length": 1.0, "spread": 0.8}
    rows = []
    for step in range(60):
        measures = {k: v[step] if isinstance(v, list) else v for k, v in {**healthy, **signs}.items()}
        rows.append(
            {"step": step, "epoch": step // 10, "loss": 5 - step / 20, "gradient_norm": 1.0} | {"measures": measures}
        )
    rows[0] |= {"steps": 60, "collapsed": 6.0}
    return rows


def test_what_passes_is_no_finding():
    """At the start, or for a moment."""
    settings = resolved("simclr")
    assert examine(rows_of(), settings) == []
    assert examine(rows_of(cosine=[0.999] * 5 + [0.3] * 55), settings) == []
    assert examine(rows_of(cosine=[0.3] * 40 + [0.999] * 2 + [0.3] * 18), settings) == []
    (found,) = examine(rows_of(cosine=[0.3] * 40 + [0.999] * 20), settings)
    assert (found.name, found.since) == (COMPLETE, 40)


def test_averaged_tokens_may_be_nearly_parallel():
    tokens = rows_of(cosine=[0.8] * 10 + [0.998] * 50)
    assert examine(tokens, resolved("mae")) == []
    assert [found.name for found in examine(tokens, resolved("simclr"))] == [COMPLETE]
    assert [found.name for found in examine(rows_of(cosine=[0.9995] * 60), resolved("mae"))] == [COMPLETE]


def test_few_images_are_no_collapse():
    """Four images vary in three directions at most."""
    few = rows_of(**{"centred_rank": 2.8, "rank_limit": 4.0})
    assert examine(few, resolved("simclr")) == []
    poor = rows_of(**{"centred_rank": 2.8, "rank_limit": 16.0})
    assert [finding.name for finding in examine(poor, resolved("simclr"))] == [DIMENSIONAL]


def test_what_an_unreadable_image_leaves_is_no_dead_memory():
    settings = resolved("pirl")
    assert examine(rows_of(**{"stand_ins": 0.02, "memory_cosine": 0.5}), settings) == []
    (found,) = examine(rows_of(**{"stand_ins": 0.6, "memory_cosine": 0.5}), settings)
    assert found.name == "dead memory"


def test_a_failure_of_an_earlier_try_accuses_nobody(tmp_path):
    """It diverged before its first checkpoint; then the same folder is used with a sane rate."""
    with pytest.raises(Diverged):
        pretrain(tmp_path / "run", "vicreg", optimizer="sgd", lr=1e20)
    assert found_in(twofold.Run(tmp_path / "run"))[0].name == "non-finite values"
    assert found_in(pretrain(tmp_path / "run", "vicreg", lr=2e-3, epochs=2)) == []


EMPTY_IMAGES = {
    "white": lambda number: np.full((12, 12, 3), 255, np.uint8),
    "one image": lambda number: picture(12, 12, 0),
    "1 x 1": lambda number: picture(12, 12, number)[:1, :1],
}


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("white", "100% of the 40 images that were looked at are of a single colour"),
        ("one image", "100% of the 40 images that were looked at are the same image"),
        ("1 x 1", "the 40 images that were looked at have 1 x 1 pixel"),
    ],
)
def test_images_without_content_are_an_alarm_of_their_own(tmp_path, capsys, kind, seen):
    """It is the only one, in the run and afterwards, and asks for no other setting."""
    (tmp_path / "a").mkdir()
    for number in range(40):
        (tmp_path / "a" / f"{number}.png").write_bytes(encoded(EMPTY_IMAGES[kind](number)))
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("vicreg", data=str(tmp_path / "a"), batch_size=8))
    said = [line for line in (run.path / "log.txt").read_text().splitlines() if "Likely cause" in line]
    assert len(said) == 1
    assert f"nothing in the images since step 0: {seen}." in said[0]
    assert "--lr" not in said[0]
    code, out, _ = command(capsys, "diagnose", run.path)
    assert code == 3
    assert out.startswith("nothing in the images since step 0")
    assert out.count("likely cause") == 1


def test_few_images_without_content_are_none(tmp_path):
    for number in range(40):
        kind = "white" if number % 2 else "1 x 1"
        content = EMPTY_IMAGES[kind](0) if number % 4 else picture(12, 12, number)
        (tmp_path / f"{number}.png").write_bytes(encoded(content))
    assert Inspection(open_data(tmp_path).train, 1).alarm == {}


@pytest.mark.parametrize("method", ["simclr", "vicreg", "rotation"])
def test_a_rate_that_is_far_too_large_is_no_success(tmp_path, capsys, method):
    settings = tiny(method, lr=1e6, epochs=6, limit=128, batch_size=16)
    with pytest.raises((Diverged, Collapsed)):
        twofold.pretrain(out=tmp_path / "run", quiet=True, **settings, on_collapse="stop")
    code, out, _ = command(capsys, "diagnose", tmp_path / "run")
    assert code == 3
    assert "too large" in out
