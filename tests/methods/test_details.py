"""The details that decide whether a method works, one test each, against what the papers say."""

import math

import pytest
import torch

from tests.methods.test_battery import loss_of, made
from twofold.augment.tiles import TILES, cut_tiles
from twofold.batch import Batch, Chance, View, cat
from twofold.nets.vit import patchify


def inputs_of(module, call):
    """What a module is given while something is called."""
    given = []
    hook = module.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    call()
    hook.remove()
    return given


@pytest.mark.parametrize("name", ["swav", "dino"])
def test_prototypes_are_frozen_at_first(name):
    for progress, frozen in ((0.0, True), (0.5, False)):
        method, batch = made(name, freeze=0.1)
        loss_of(method, batch, progress).backward()
        assert (method.prototypes.weight.grad is None) == frozen
        assert method.projector[0].weight.grad.abs().sum() > 0


def test_swav_balances_with_its_queue_only_from_when_it_is_full():
    """Two batches of 32 fill a queue of 64; before, and before its share of the run, it changes nothing."""
    losses = {}
    for queue, since in ((0, 0.5), (64, 0.5), (64, 0.9)):
        method, batch = made("swav", queue=queue, queue_from=since)
        other = Batch(batch.views[::-1], batch.index, batch.chance)
        losses[queue, since] = [loss_of(method, b, 0.6).item() for b in (batch, batch, other)]
    assert losses[64, 0.9] == losses[0, 0.5]
    assert losses[64, 0.5][:2] == losses[0, 0.5][:2]
    assert losses[64, 0.5][2] != losses[0, 0.5][2]


def test_swav_takes_codes_from_full_size_views_only():
    method, batch = made("swav")
    small = tuple(View(view.images[..., :6, :6]) for view in batch.views)
    seen = []
    method.code, plain = lambda *args: seen.append(args[0]) or plain(*args), method.code
    loss_of(method, Batch((*batch.views, *small), batch.index, batch.chance))
    assert seen == [0, 1]


def test_dino_warms_its_teacher_up_and_centres_it():
    """t' from 0.04 to 0.07 over the warm-up, then 0.07; center <- 0.9 center + 0.1 mean of the teacher's outputs."""
    options = dict(teacher_temperature=(0.04, 0.07), teacher_warmup=0.4)
    for progress, temperature in ((0.0, 0.04), (0.2, 0.055), (0.4, 0.07), (0.9, 0.07)):
        warming, batch = made("dino", **options)
        fixed, _ = made("dino", teacher_temperature=(temperature, temperature))
        assert loss_of(warming, batch, progress).item() == pytest.approx(
            loss_of(fixed, batch, progress).item(), rel=1e-5
        )
    method, batch = made("dino")
    with torch.no_grad():
        outputs = method.target(cat(batch.views))  # together, as batch norm sees them
    loss_of(method, batch)
    torch.testing.assert_close(method.center, 0.1 * outputs.mean(0, keepdim=True), rtol=1e-3, atol=1e-6)


def test_moco_takes_keys_after_the_loss():
    """The first batch meets random keys; the second meets the first's, which came out of the momentum encoder."""
    method, batch = made("moco", queue=64, key_groups=1)
    before = method.queue.rows.clone()
    loss_of(method, batch)
    with torch.no_grad():
        keys = [method.target(view) for view in batch.views]
    torch.testing.assert_close(method.queue.rows, torch.cat(keys), rtol=1e-4, atol=1e-5)
    again, _ = made("moco", queue=64, key_groups=1)
    assert torch.equal(again.queue.rows, before)
    again.queue.enqueue(torch.cat(keys))
    assert loss_of(again, batch).item() != loss_of(made("moco", queue=64, key_groups=1)[0], batch).item()


def test_pirl_leaves_an_images_own_entry_out_of_its_negatives():
    """A bank with one image: every negative drawn is its own, none is left, and the loss is that of a sure guess."""
    method, batch = made("pirl")
    method.bank.rows = method.bank.rows[:1]
    method.bank.age = method.bank.age[:1]
    alone = Batch(batch.views, torch.zeros_like(batch.index), batch.chance)
    assert loss_of(method, alone).item() == pytest.approx(0, abs=1e-5)


def test_pirl_shuffles_the_tiles_of_each_image_its_own_way():
    method, batch = made("pirl")
    seen = inputs_of(method.backbone, lambda: loss_of(method, batch))
    (tiles,) = (images for images in seen if len(images) == 32 * TILES)
    plain = cut_tiles(batch.views[1].images, method.tile, batch.chance.uniform("places", 2 * TILES))
    orders = []
    for shuffled, straight in zip(tiles.unflatten(0, (32, TILES)), plain, strict=True):
        distance = (shuffled[:, None] - straight).flatten(2).abs().amax(2)
        orders.append(tuple(distance.argmin(1).tolist()))
        assert distance.amin(1).max() == 0
        assert sorted(orders[-1]) == list(range(TILES))
    assert len(set(orders)) > 28


def test_a_masked_autoencoder_is_judged_by_the_masked_patches_alone():
    """Against plain loops over what its decoder gives."""
    method, batch = made("mae")
    given = []
    hook = method.decoder_pred.register_forward_hook(lambda *args: given.append(args[-1]))
    loss = loss_of(method, batch)
    hook.remove()
    view, total, count = batch.views[0], 0.0, 0
    pixels = patchify(view.images, method.side)
    for image in range(len(view.images)):
        for patch in range(method.patches):
            if patch not in view.ids_keep[image].tolist():
                wanted = pixels[image, patch]
                wanted = (wanted - wanted.mean()) / (wanted.var(correction=0) + 1e-6).sqrt()
                total += (given[0][image, patch] - wanted).square().sum().item()
                count += len(wanted)
    assert count == 32 * round(0.75 * method.patches) * pixels.shape[2]
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


def test_data2vec_regresses_the_mean_of_the_teachers_last_blocks():
    """Each block's output standardised over the patches, their mean layer-normed; only where the student saw a mask."""
    method, batch = made("data2vec", blocks=2)
    images = batch.views[0].images
    teacher = method.target.stages[0]
    with torch.no_grad():
        tokens = teacher._pos_embed(teacher.patch_embed(images))
        outputs = []
        for block in teacher.blocks:
            tokens = block(tokens)
            outputs.append(tokens[:, teacher.num_prefix_tokens :])
        parts = [
            (o - o.mean(1, keepdim=True)) / (o.var(1, correction=0, keepdim=True) + 1e-5).sqrt() for o in outputs[-2:]
        ]
        average = (parts[0] + parts[1]) / 2
        spread = (average.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
        expected = (average - average.mean(2, keepdim=True)) / spread
    torch.testing.assert_close(method.regression_target(images), expected, rtol=1e-3, atol=1e-4)
    loss = loss_of(method, batch).item()
    with torch.no_grad():
        method.mask_token.add_(torch.randn(method.mask_token.shape))
    assert loss_of(method, batch).item() != loss


def test_rotation_is_told_by_the_pixels():
    """All four turns of each image go through; the target is the turn."""
    method, batch = made("rotation")
    seen = inputs_of(method.backbone, lambda: loss_of(method, batch))
    turned = seen[0].unflatten(0, (4, 32))
    images = batch.views[0].images
    assert torch.equal(turned[0], images)
    assert torch.equal(turned[1][:, :, 0], images[:, :, :, -1])  # a quarter turn: the last column becomes the first row
    assert torch.equal(turned[2], images.flip(2, 3))


def test_denoising_never_sees_the_clean_image():
    method, batch = made("denoising", noise=0.5, dropped=0.25)
    seen = inputs_of(method.backbone, lambda: loss_of(method, batch))
    clean = batch.views[0].images
    dropped = (seen[0] == 0).all(1)
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
    noise = (seen[0] - clean).movedim(1, -1)[~dropped]
    assert noise.std().item() == pytest.approx(0.5, abs=0.02)
    other = Batch(batch.views, batch.index, Chance(0, 1, 32, slice(None)))
    assert loss_of(method, other).item() != loss_of(method, batch).item()


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


def test_nothing_is_dropped_out_of_a_target():
    from tests.conftest import VIT

    settings = VIT | dict(backbone_arguments={"drop_path_rate": 0.5, "proj_drop_rate": 0.5, "attn_drop_rate": 0.5})
    method, batch = made("byol", **settings)
    assert method.backbone.training
    assert torch.equal(method.target(batch.views[0]), method.target(batch.views[0]))
    assert not torch.equal(method.encode(batch.views[0]), method.encode(batch.views[0]))
    norms = [m for m in made("byol")[0].target.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(m.training for m in norms)
