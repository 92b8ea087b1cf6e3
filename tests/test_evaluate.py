"""`twofold evaluate`: the table as a whole; nothing is chosen by the test labels; other backbones beside."""

import json

import pytest
import timm
import torch

import twofold
from tests.conftest import tiny
from twofold.cli import commands as cli
from twofold.cli import tables
from twofold.data.opening import open_data
from twofold.data.sources import Array
from twofold.encoding import features as feature_module
from twofold.encoding.features import Extractor
from twofold.errors import UsageError
from twofold.evaluation import baselines, finetune, mlp
from twofold.evaluation import evaluate as protocols
from twofold.evaluation import protocols as rows

EVERY = tuple(rows.PROTOCOLS)


@pytest.fixture
def quick(monkeypatch):
    """Heads and fine-tuning for a few steps only."""
    monkeypatch.setattr(mlp, "STEPS", 20)
    monkeypatch.setattr(mlp, "EPOCHS", 1)
    for name, value in {"RATES": (4e-4, 1e-3), "EPOCHS": 1, "STEPS": 2, "SEEDS": 2}.items():
        monkeypatch.setattr(finetune, name, value)


def test_a_run_is_measured_beside_its_yardsticks(finished, quick, monkeypatch):
    told = []
    result = twofold.evaluate(finished, protocols=EVERY, tell=lambda *words: told.append(words))
    assert json.loads((finished.path / "evaluation.json").read_text()) == result
    every = ["raw pixels", "untrained", "pretrained", "projector"]
    assert result["representations"] == every
    few = ["1 a class", "2 a class", "5 a class", "10 a class", "10 % of labels", "all labels"]
    found = [f"10 clusters, {n} label{'s' * (n > 1)} each" for n in (1, 2, 5, 10)]
    ranked = ["retrieval, mAP", *(f"retrieval, recall at {k}" for k in (1, 5, 10))]
    assert list(result["scores"]) == [
        "knn", "linear", "mlp", "finetune", *few, "10 clusters, NMI", "10 clusters, ARI", *found, *ranked,
    ]  # fmt: skip
    for row, scores in result["scores"].items():
        assert list(scores) == (["untrained", "pretrained"] if row == "finetune" else every)
        for score in scores.values():
            assert 0 < score["value"] <= 1
            assert score["spread"] > 0
            assert score["over"]
            named = row.rpartition(", ")[2].replace("mAP", "mean average precision")
            assert score["metric"] == ("accuracy" if row in [*result["scores"]][:10] + found else named)
    labels = {row: scores["pretrained"].get("labels") for row, scores in result["scores"].items()}
    assert labels["linear"] == labels["finetune"] == labels["all labels"] == 256
    assert [labels[row] for row in few] == [10, 20, 50, 100, 26, 256]
    assert [labels[row] for row in found] == [10, 20, 50, 100]
    assert labels["retrieval, mAP"] is None
    assert result["notes"] == ["1 % of 256 labels are 3, less than one for each of 10 classes: no such row"]
    assert result["recipe"]["method"] == "simclr"
    assert result["data"]["test"] == 359
    assert set(result["versions"]) >= {"twofold", "torch", "timm"}
    assert set(result["seconds"]) == set(EVERY)
    assert any(what.startswith("finetune, pretrained: run 2 of 2") for what, _, _ in told)

    text = tables.evaluation(result)
    assert max(map(len, text.split("digits:")[0].splitlines())) <= 100
    assert "± b: over 3 seeds of the head\n" in text
    assert text.count(" a\n") >= 6  # what a spread is over stands in the row, as a letter
    # The features are kept: a second time nothing goes through a network.
    monkeypatch.setattr(feature_module, "extract", None)
    again = twofold.evaluate(finished, protocols=("knn", "fewshot", "mlp"))
    for row in again["scores"]:
        assert again["scores"][row] == result["scores"][row]
    other = twofold.evaluate(finished, protocols="fewshot", seed=1)
    assert other["seed"] == 1
    assert other["scores"]["1 a class"] != result["scores"]["1 a class"]


def test_nothing_is_chosen_by_the_test_labels(finished, quick, monkeypatch):
    """With other test labels every figure may change, no choice does."""
    chosen = []
    for shift in (0, 1):
        data = open_data("digits")
        other = Array(data.test.images, [(label + shift) % 10 for label in data.test.labels], data.test.classes)
        changed = type(data)(data.train, other)
        monkeypatch.setattr(protocols, "open_data", lambda name, changed=changed: changed)
        scores = twofold.evaluate(finished, protocols=("knn", "linear", "mlp", "finetune"))["scores"]
        chosen.append(
            [(row, who, s.get("C"), s.get("rate"), s.get("k")) for row, it in scores.items() for who, s in it.items()]
        )
        chosen[-1].append(scores["linear"]["pretrained"]["value"] > 0.3)
    assert chosen[0][:-1] == chosen[1][:-1]
    assert (chosen[0][-1], chosen[1][-1]) == (True, False)


def test_a_baseline_takes_no_columns_name(finished):
    with pytest.raises(UsageError, match=r"untrained is a column already: name the run directory \./untrained"):
        twofold.evaluate(finished, baseline="untrained")


def test_unknown_protocols_name_the_nearest(finished):
    with pytest.raises(UsageError, match="did you mean linear"):
        twofold.evaluate(finished, protocols=("liner",))


def test_the_projector_is_the_methods_own(finished):
    """Its features, kept in a file, are what the method makes of the backbone's."""
    twofold.evaluate(finished, protocols="knn")
    method = finished.method()
    images = torch.from_numpy(open_data("digits").test.images).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (finished.spec.mean, finished.spec.std))
    with torch.no_grad():
        expected = method.projector(finished.backbone()((images - mean) / std))
    kept = [feature_module.np.load(file)["values"] for file in finished.path.glob("features/projector-*.npz")]
    assert any(torch.allclose(torch.from_numpy(v), expected, atol=1e-4) for v in kept if len(v) == 359)


def test_a_changed_projector_is_not_taken_from_the_cache(finished, tmp_path):
    cache = feature_module.Cache(tmp_path / "features", "test", open_data("digits").test)
    base = cache.extracted({"raw": Extractor("raw", 8, feature_module.raw_pixels)})["raw"]
    first, second, third = (cache.derived("p", key, base, lambda v, by=by: v * by).values for key, by in
                            (("a", 1), ("b", 2), ("a", 3)))  # fmt: skip
    assert torch.equal(second, 2 * first)
    assert torch.equal(third, first)


def test_prototypes_are_clusters_and_another_run_is_a_baseline(finished, tmp_path):
    run = twofold.pretrain(out=tmp_path / "swav", quiet=True, **tiny("swav", epochs=1, knn_every=0, prototypes=12))
    (run.path / "checkpoint.pt").touch()
    result = twofold.evaluate(run, protocols=("knn", "clusters"), baseline=str(finished.path))
    assert result["representations"][-1] == str(finished.path)
    assert list(result["scores"]["prototypes, NMI"]) == ["projector"]
    assert list(result["scores"]["prototypes, 1 label each"]) == ["projector"]
    other = twofold.evaluate(finished, protocols="knn")["scores"]["knn"]["pretrained"]
    assert result["scores"]["knn"][str(finished.path)] == other
    # By hand: the prototype with the largest cosine, of each test image.
    method, data = run.method(), open_data("digits").test
    images = torch.from_numpy(data.images).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (run.spec.mean, run.spec.std))
    with torch.no_grad():
        z = method.projector(run.backbone()((images - mean) / std))
    weights = method.prototypes.weight.detach()
    cosines = (z / z.norm(dim=1, keepdim=True)) @ (weights / weights.norm(dim=1, keepdim=True)).T
    expected = rows.normalized_mutual_info_score(data.labels, cosines.argmax(1))
    assert result["scores"]["prototypes, NMI"]["projector"]["value"] == pytest.approx(expected, abs=0.01)
    # The backbone is enough, for what needs no more.
    (run.path / "checkpoint.pt").unlink()
    assert "projector" not in twofold.evaluate(run, protocols="knn")["representations"]


def test_a_timm_model_has_its_own_size_and_normalisation(finished, monkeypatch):
    """Weights from a stand-in, as there may be no network."""
    published = timm.create_model("test_vit", num_classes=0)
    create = timm.create_model

    def stand_in(name, pretrained=False, **arguments):
        made = create(name, **arguments)
        if pretrained:
            made.load_state_dict(published.state_dict())
        return made

    monkeypatch.setattr(timm, "create_model", stand_in)
    it = baselines.baseline("test_vit")
    assert (it.spec.size, it.spec.mean, it.spec.features) == (160, (0.5, 0.5, 0.5), 64)
    again = it.build().state_dict()
    assert all(torch.equal(again[key], value) for key, value in published.state_dict().items())


def test_a_baseline_that_cannot_be_had_is_one_line(finished, monkeypatch, capsys):
    def offline(*words, **arguments):
        raise OSError("no route\nto the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UsageError, match="the weights of resnet18 cannot be had: no route to the hub"):
        baselines.baseline("resnet18")
    with pytest.raises(SystemExit) as end:
        cli.main(["evaluate", str(finished.path), "--baseline", "resnet81"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "did you mean resnet" in said
    assert said.count("\n") == 1
