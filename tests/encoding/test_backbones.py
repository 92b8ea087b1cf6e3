"""A backbone by what people have at hand: a run, timm's name, an own network."""

import pytest
import timm
import torch

from twofold.cli import commands as cli
from twofold.encoding.backbones import open_backbone
from twofold.errors import UsageError


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
    encoder = open_backbone("test_vit")
    spec = encoder.spec
    assert (spec.size, spec.mean, spec.features) == (160, (0.5, 0.5, 0.5), 64)
    weights = encoder.backbone.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in published.state_dict().items())


def test_a_baseline_that_cannot_be_had_is_one_line(finished, monkeypatch, capsys):
    def offline(*words, **arguments):
        raise OSError("no route\nto the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UsageError, match=r"published weights of resnet18 cannot be had \(no route to the hub\)"):
        open_backbone("resnet18")
    with pytest.raises(SystemExit) as end:
        cli.main(["evaluate", str(finished.path), "--baseline", "resnet81"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "did you mean resnet" in said
    assert said.count("\n") == 1
