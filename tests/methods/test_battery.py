"""One battery over every registered method."""

import ast
import importlib
import math
from pathlib import Path

import pytest
import torch

import twofold.methods
from tests.conftest import OWN, TINY, resolved, tiny
from tests.methods.making import loss_of, made
from twofold.batch import Batch, View
from twofold.errors import UsageError
from twofold.nets.heads import Prototypes
from twofold.nets.memory import Bank, Queue
from twofold.recipe import recipe, toml
from twofold.recipe.declared import methods, spec
from twofold.recipe.settings import declarations, defaults_of, types_of
from twofold.training.prepare import Preparation

METHODS = list(methods())
every_method = pytest.mark.parametrize("name", METHODS)
TILED = ("pirl", "jigsaw")
SOURCE = Path(twofold.methods.__file__).parent
SWITCHES = (
    *(
        "projector",
        "predictor",
        "normalize",
        "stop_gradient",
        "momentum",
        "teacher_momentum",
        "queue",
        "negatives",
        "bank_momentum",
    ),
    *("attraction", "repulsion", "invariance", "variance", "covariance", "redundancy", "tiles", "sigreg"),
    *("iterations", "center_momentum", "memory", "energy_weight"),
)


def has(name, option):
    return option in declarations(spec(name).options)


@every_method
def test_its_card_says_all_four_parts(name):
    declared = spec(name)
    assert "arXiv" in declared.title or name == "denoising"  # older than that archive's section
    assert list(declared.parts()) == ["family", "views", "topology", "D", "A, B", "loss"]
    assert all(declared.parts().values())


@every_method
def test_it_fits_on_one_screen(name):
    lines = (SOURCE / f"{name}.py").read_text().splitlines()
    assert len(lines) <= 95
    tree = ast.parse("\n".join(lines))
    (kind,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == spec(name).class_name]
    assert [ast.unparse(base) for base in kind.bases] == ["Method"]


@every_method
def test_every_option_is_explained_and_read_as_declared(name):
    """What is read from the source without running it is what importing it gives."""
    read, real = spec(name), importlib.import_module(f"twofold.methods.{name}")
    assert defaults_of(read.options) == defaults_of(real.Options)
    assert types_of(read.options) == types_of(real.Options)
    for option, declaration in declarations(real.Options).items():
        again = declarations(read.options)[option]
        assert again.help == declaration.help != ""
        assert (again.low, again.high, again.above) == (declaration.low, declaration.high, declaration.above)
        assert (again.auto is None) == (declaration.auto is None)
        if declaration.auto:
            assert again.auto.__doc__ == declaration.auto.__doc__
    assert read.recipe == getattr(real, "RECIPE", {})
    assert read.large == getattr(real, "LARGE", {})
    recipe.wanted(name, **read.large)


@every_method
def test_no_setting_has_two_meanings(name):
    options = declarations(spec(name).options).keys()
    run, augment = (declarations(group).keys() for group in recipe.GROUPS)
    assert not options & (run | augment)
    assert not run & augment


@every_method
def test_its_loss_is_finite_and_reaches_the_backbone_alone(name):
    method, batch = made(name)
    loss_of(method, batch).backward()
    for key, parameter in method.named_parameters():
        if key.startswith("target."):  # the momentum encoder
            assert parameter.grad is None
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
    assert any(p.grad.abs().sum() > 0 for p in method.backbone.parameters())


@every_method
def test_terms_are_scalars_by_name_and_embeddings_one_a_view(name):
    method, batch = made(name)
    output = method(batch, 0.5)
    assert all(term.ndim == 0 for term in output.terms.values())
    assert [len(e) for e in output.embeddings] == [32] * len(output.embeddings)
    assert len(output.embeddings) in (1, 2)


@every_method
def test_its_state_is_all_in_the_state_dict(name):
    """Two steps in one go, and with everything rebuilt from the state dicts between them: bit for bit the same."""

    def step(method, optimizer, progress):
        optimizer.zero_grad()
        loss = loss_of(method, batch, progress)
        loss.backward()
        optimizer.step()
        method.after_step(progress)
        return loss.item()

    method, batch = made(name)
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)
    losses = [step(method, optimizer, progress) for progress in (0.2, 0.4)]

    method, batch = made(name)
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)
    first = step(method, optimizer, 0.2)
    again, _ = made(name, seed=1)
    again.load_state_dict(method.state_dict())
    resumed = torch.optim.SGD(again.parameters(), 0.1, momentum=0.9)
    resumed.load_state_dict(optimizer.state_dict())
    assert [first, step(again, resumed, 0.4)] == losses


@every_method
def test_its_trivial_value_is_the_loss_of_a_collapsed_batch(name):
    """The last layers give the same for all images: the loss is the yardstick."""
    plain = {"projector_norm": "none"} if has(name, "projector_norm") else {}
    method, batch = made(name, **plain)
    value = 0.0 if name in ("mae", "denoising", "data2vec", "distill", "lejepa") else 1.0
    with torch.no_grad():
        for part in (
            "projector",
            "predictor",
            "join",
            "classifier",
            "target",
            "decoder_pred",
            "decoder",
            "head",
        ):
            layers = list(getattr(method, part, None).modules()) if getattr(method, part, None) else []
            last = [m for m in layers if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)][-1:]
            for layer in last:
                layer.weight.zero_()
                layer.bias.fill_(value)
        for module in method.modules():
            if isinstance(module, Prototypes):
                module.weight.fill_(1.0)
            if isinstance(module, Queue | Bank):
                module.rows.fill_(module.rows.shape[1] ** -0.5 if isinstance(module, Bank) else 1.0)
        if name == "data2vec":  # every patch of the teacher's is alike, and the student says so
            method.target.stages[0].patch_embed.proj.weight.zero_()
            method.target.stages[0].pos_embed.zero_()
            method.head.bias.copy_(method.regression_target(batch.views[0].images)[0, 0])
    assert loss_of(method, batch).item() == pytest.approx(method.collapsed_loss(32), abs=5e-3)


@every_method
def test_small_crops_keep_the_scale_of_the_loss(name):
    """With small crops added the loss is a mean over pairs, so it keeps its scale; or it is refused."""
    method, batch = made(name)
    if not method.MULTI_CROP:
        settings = resolved(**tiny(name, small_crops=2, small_size=8))
        with pytest.raises(UsageError, match="small crops"):
            Preparation(settings, method, 32, torch.device("cpu"), torch.float32)
        return
    method.eval()
    two = loss_of(method, batch).abs()
    method, batch = made(name)
    method.eval()
    others = [view._replace(images=0.9 * view.images) for view in batch.views]
    more = Batch((*batch.views, *others), batch.index, batch.chance)
    four = loss_of(method, more).abs()
    assert math.isfinite(four.item())
    assert four.item() != two.item()
    assert 0.2 * two.item() < four.item() < 2 * two.item()


def gradients_of(name, chunk, **settings):
    """Loss and gradients of the second of two steps, and the buffers then, in float64 without batch statistics."""
    norm = {"projector_norm": "layer"} if has(name, "projector_norm") else {}
    method, batch = made(name, chunk=chunk, **norm, **settings)
    assert method.chunk == (chunk or None)
    method.double()
    views = [view._replace(images=view.images.double()) for view in batch.views]
    if method.MULTI_CROP:
        views += [View(views[0].images[..., :12, :12]), View(views[1].images[..., -12:, -12:])]
    batch = batch._replace(views=tuple(views))
    for _ in range(2):
        method.zero_grad()
        loss = loss_of(method, batch)
        loss.backward()
    return method, loss, {key: p.grad for key, p in method.named_parameters() if p.grad is not None}


@every_method
def test_chunks_change_no_gradient(name):
    """Small crops, masked views, tiles, momentum encoders, memories and all: to 1e-9."""
    settings = dict(backbone="test_vit", backbone_arguments={}, image_size=24 if name in TILED else 16)
    if name not in (*TILED, "denoising", "mae", "data2vec"):
        settings["mask"] = (0.5, 0.25) if spec(name).pairs_images else (0.5, 0.0)
    assert_same_in_chunks(name, **settings)


@pytest.mark.parametrize("name", ["simclr", "vicreg", "moco", "swav"])
def test_chunks_change_no_gradient_of_batch_norms_that_keep_their_statistics(name):
    assert_same_in_chunks(name, image_size=16, keep_statistics=True)


def assert_same_in_chunks(name, **settings):
    method, loss, gradients = gradients_of(name, 0, **settings)
    again, found_loss, found = gradients_of(name, 7, **settings)
    torch.testing.assert_close(found_loss, loss, rtol=1e-10, atol=0)
    assert found.keys() == gradients.keys()
    for key, gradient in gradients.items():
        rounded = key == "backbone.pos_embed"  # which timm resizes for smaller views in float32
        torch.testing.assert_close(found[key], gradient, rtol=1e-9, atol=1e-7 if rounded else 1e-12, msg=key)
    for (key, mine), theirs in zip(again.named_buffers(), method.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12, msg=key)
    assert max(g.abs().max() for key, g in gradients.items() if key.startswith("backbone")) > 1e-6


@every_method
def test_views_of_several_sizes_go_through_in_one_step(name):
    method, batch = made(name)
    if method.MULTI_CROP:
        small = View(batch.views[0].images[..., :6, :6])
        loss = loss_of(method, Batch((*batch.views, small, small), batch.index, batch.chance))
        loss.backward()
        assert torch.isfinite(loss)


@pytest.mark.parametrize(("name", "part"), [(name, part) for name in METHODS for part in SWITCHES if has(name, part)])
def test_a_part_may_be_off(name, part):
    """Every switch changes the loss or what follows it, and leaves it finite."""
    default = {**vars(resolved(name, image_size=32, epochs=1000, images=50_000).options), **OWN.get(name, {})}[part]
    off = (0.0, 0.0) if "momentum" in part and isinstance(default, tuple) else type(default)()
    off = {"center_momentum": 1.0, "normalize": not default, "stop_gradient": not default}.get(part, off)
    also = {"predictor": (16,)} if part == "projector" and has(name, "predictor") else {}
    on = {} if part in TINY or part in OWN.get(name, {}) else {part: default}
    losses = []
    for changes in (on, {part: off, **also}):
        method, batch = made(name, **changes)
        optimizer = torch.optim.SGD(method.parameters(), 0.01)
        for _ in range(3):
            optimizer.zero_grad()
            loss = loss_of(method, batch)
            loss.backward()
            optimizer.step()
            method.after_step(0.5)
        losses.append(loss.item())
    assert math.isfinite(losses[1])
    assert losses[0] != losses[1]


@every_method
def test_its_recipe_survives_the_disk(name, tmp_path):
    wanted = resolved(**tiny(name))
    (tmp_path / "recipe.toml").write_text(toml.dumps(wanted))
    found = toml.read(tmp_path / "recipe.toml")
    assert (toml.recorded(found, "here"), found[toml.VERSION]) == (wanted, twofold.__version__)


def test_the_first_weights_are_a_function_of_the_seed():
    for name in METHODS:
        same, other = made(name)[0].state_dict(), made(name, seed=1)[0].state_dict()
        again = made(name)[0].state_dict()
        assert all(torch.equal(same[key], again[key]) for key in same)
        assert not all(torch.equal(same[key], other[key]) for key in same)


def test_unknown_methods_and_settings_name_the_nearest():
    with pytest.raises(UsageError, match="did you mean vicreg"):
        spec("vicregg")
    assert spec("VICReg").name == "vicreg"
    with pytest.raises(UsageError, match="did you mean temperature"):
        recipe.wanted("simclr", temprature=0.1)
    with pytest.raises(UsageError, match="predictor must end"):
        made("byol", predictor=(32, 15))


@pytest.mark.parametrize("name", ["swav", "dino"])
def test_prototypes_are_frozen_at_first(name):
    for progress, frozen in ((0.0, True), (0.5, False)):
        method, batch = made(name, freeze_prototypes=0.1)
        loss_of(method, batch, progress).backward()
        assert (method.prototypes.weight.grad is None) == frozen
        assert method.projector[0].weight.grad.abs().sum() > 0


def test_momentum_rises_along_the_run():
    """MoCo's, BYOL's, DINO's and data2vec's by a cosine, from the first of the pair to the last."""
    for name, option in (
        ("moco", "momentum"),
        ("byol", "momentum"),
        ("dino", "teacher_momentum"),
        ("data2vec", "teacher_momentum"),
    ):
        method, _ = made(name, **{option: (0.8, 0.98)})
        for progress in (0.0, 0.5, 1.0):
            with torch.no_grad():
                for theirs, mine in zip(
                    method.backbone.parameters(), method.target.stages[0].parameters(), strict=True
                ):
                    theirs.fill_(1.0)
                    mine.fill_(0.0)
            method.after_step(progress)
            moved = 1 - (0.98 + (0.8 - 0.98) * (1 + math.cos(math.pi * progress)) / 2)
            for mine in method.target.stages[0].parameters():
                torch.testing.assert_close(mine, torch.full_like(mine, moved))
