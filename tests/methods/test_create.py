"""A method in anyone's loop: made by name, fed by `Views`, stepped by a plain optimizer."""

import math

import pytest
import torch
from torch import nn

import twofold
from twofold.errors import UsageError
from twofold.recipe.declared import methods

TRANSFORMERS = ("mae", "data2vec")
NARROW = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
SIZE = {"pirl": 24, "jigsaw": 24}
NEEDED = {"distill": {"teacher": "tests.networks:teacher"}}


def small(name, **settings):
    size = SIZE.get(name, 16)
    settings = {**NEEDED.get(name, {}), **settings}
    if name in TRANSFORMERS:
        return twofold.create_method(name, "test_vit", size, **settings), size
    return twofold.create_method(name, "resnet18", size, backbone_arguments=NARROW, **settings), size


@pytest.mark.parametrize("name", methods())
def test_every_method_goes_in_a_plain_loop(name):
    """Nothing but images is given: no masks, no image numbers, no chance."""
    torch.manual_seed(0)
    method, size = small(name)
    views = twofold.Views(size)
    optimizer = torch.optim.SGD(method.parameters(), 1e-3)
    images = torch.randint(0, 256, (16, 3, size, size), dtype=torch.uint8)
    before = [p.clone() for p in method.backbone.parameters()]
    for step in range(3):
        output = method(views(images), progress=step / 3)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step / 3)
        assert output.loss.item() == pytest.approx(sum(term.item() for term in output.terms.values()), rel=1e-5)
        assert math.isfinite(output.loss.item())
        assert all(len(rows) == 16 for rows in output.embeddings)
    assert any(not torch.equal(b, p) for b, p in zip(before, method.backbone.parameters(), strict=True))
    assert math.isfinite(method.collapsed_loss(16))


def test_plain_tensors_are_views_too():
    torch.manual_seed(0)
    method, size = small("vicreg")
    x, y = torch.randn(2, 8, 3, size, size)
    assert method((x, y), 0.5).loss == method([x, y], progress=0.5).loss
    with pytest.raises(UsageError, match="views must be tensors"):
        method((x, y[:3]), 0.0)


def test_chance_is_torchs_where_a_loop_gives_none():
    """Masks of plain tensors follow torch.manual_seed, and are other ones at each step."""
    torch.manual_seed(0)
    method, size = small("mae")
    images = torch.randn(4, 3, size, size)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append((method([images], 0.0).loss.item(), method([images], 0.0).loss.item()))
    assert losses[0] == losses[1]
    assert len({*losses[0], *losses[2]}) == 4


def test_pirl_has_a_bank_where_images_have_numbers():
    torch.manual_seed(0)
    method, size = small("pirl", images=32, negatives=20)
    views = twofold.Views(size)
    images = torch.randint(0, 256, (8, 3, size, size), dtype=torch.uint8)
    with pytest.raises(UsageError, match=r"views\(images, index=numbers\)"):
        method(views(images), 0.0)
    output = method(views(images, index=torch.arange(8) + 10), 0.0)
    assert (method.bank.age >= 0).nonzero()[:, 0].tolist() == list(range(10, 18))
    assert math.isfinite(output.loss.item())
    assert len(small("pirl")[0].bank.rows) == 0


def test_any_module_is_a_backbone():
    network = nn.Sequential(nn.Conv2d(4, 12, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    method = twofold.create_method("simclr", network, size=8, channels=4, projector=(16,))
    assert method.backbone is network
    views = twofold.Views(8, mean=(0.5,) * 4, std=(0.25,) * 4)
    output = method(views(torch.rand(6, 4, 8, 8)), 0.0)
    assert [tuple(rows.shape) for rows in output.embeddings] == [(6, 16), (6, 16)]


def test_the_first_weights_follow_the_seed():
    one, same, other = (small("byol", seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_a_timm_name_is_fitted_to_the_size():
    small_stem = twofold.create_method("simclr", "resnet18", 32, backbone_arguments=NARROW).backbone
    assert isinstance(small_stem.maxpool, nn.Identity)
    large = twofold.create_method("simclr", "resnet18", 128, backbone_arguments=NARROW)
    assert isinstance(large.backbone.maxpool, nn.MaxPool2d)
    assert large.o.temperature == 0.1  # as published for photographs
    assert (
        twofold.create_method("simclr", "resnet18", 128, backbone_arguments=NARROW, temperature=0.2).o.temperature
        == 0.2
    )


def test_a_short_run_gets_a_short_memory_as_pretrain_gives_it():
    long, _ = small("moco")
    short, _ = small("moco", steps=60, batch_size=128)
    assert (len(long.queue.rows), long.target.momentum) == (32768, (0.99, 0.999))
    assert len(short.queue.rows) == 2 * 60 * 128 // 100
    assert short.target.momentum == pytest.approx((1 - 1 / (0.4 * 60),) * 2, abs=1e-4)


def test_what_a_loop_gives_is_checked_at_the_door():
    torch.manual_seed(0)
    method, size = small("simclr")
    images = torch.randn(4, 3, size, size)
    with pytest.raises(UsageError, match="needs 2 views of each image, not 1"):
        method(images, 0.0)
    with pytest.raises(UsageError, match="from 0 to 1, not 30"):
        method((images, images), progress=30)
    array = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8).numpy()
    assert len(twofold.Views(size)(array).views) == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: twofold.create_method("vicregg"), "did you mean vicreg"),
        (lambda: twofold.create_method("vicreg", "resnet81"), "did you mean resnet18"),
        (lambda: twofold.create_method("vicreg", size=32, varience=1.0), "did you mean variance"),
        (lambda: twofold.create_method("vicreg", size=32, lr=0.1), "lr is no option of vicreg"),
        (lambda: twofold.create_method("moco", size=32, steps=0), "steps must be at least 1, not 0"),
        (lambda: twofold.create_method("pirl", size=32, images=-5), "images must be at least 1, not -5"),
        (lambda: twofold.create_method("mae", size=32), "vision transformers"),
        (lambda: twofold.create_method("vicreg", nn.Identity(), size=32), "one vector an image"),
        (lambda: twofold.create_method(nn.Linear, size=32), "no method"),
        (lambda: twofold.create_method("vicreg", nn.Identity, size=32), "not Identity"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(call, words):
    with pytest.raises(UsageError, match=words) as said:
        call()
    assert "\n" not in str(said.value)


def test_names_are_found_by_completion():
    assert {"Views", "create_method", "features", "pretrain", "losses"} <= set(dir(twofold))


def test_the_list_has_all_methods():
    assert twofold.list_methods()[:2] == ["pirl", "simclr"]
    assert len(twofold.list_methods()) >= 16


@pytest.mark.parametrize("name", methods())
def test_a_look_at_the_loss_in_eval_mode_changes_nothing(name):
    """Neither a queue, a bank or a centre nor a batch norm: validation images are no training images."""
    more = {"swav": {"queue": 16, "queue_from": 0.0}, "moco": {"queue": 16}, "pirl": {"images": 32}}.get(name, {})
    if name == "joint":
        more = {"energy": "cross_entropy", "codes": "centred", "memory": 16, "functionals": "repulsion:1"}
    method, size = small(name, **more)
    method.eval()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    images = torch.randint(0, 256, (16, 3, size, size), dtype=torch.uint8)
    views = twofold.create_views(method)
    views(images)
    views.eval()
    with torch.no_grad():
        assert method(views(images, index=torch.arange(16)), progress=0.5).loss.isfinite()
    assert views.step == 1  # the training goes on with the draws that it would have had
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
