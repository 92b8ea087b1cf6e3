"""Weights in one part for each process: the same run, in less memory, which goes on in any other form."""

import os
import shutil

import pytest
import timm
import torch
from torch import nn

import twofold
from tests.conftest import OWN, batch_of, resolved, tiny
from tests.killing import KILLED, at_call
from tests.together import commanded, together
from tests.training.making import assert_identical
from twofold import dist, launch
from twofold.batch import Batch
from twofold.errors import UsageError
from twofold.methods.building import backbone_spec, build_method
from twofold.recipe.declared import methods
from twofold.storage import files, metrics
from twofold.training import sharding
from twofold.training.optimizer import create_optimizer, set_rates
from twofold.training.step import learn

USUAL = ("dino", "moco")
"""Methods that are compared by default: prototypes that are frozen at first; shuffled keys and a queue."""


OLD = torch.__version__ < (2, 11)
"""Whether torch is one that multiplies a clipped gradient's parts by a float32 number."""
LOSS, WEIGHT = (1e-8, 1e-5) if OLD else (1e-11, 1e-8)
"""Relative tolerances."""


def settings_of(name, **settings):
    """A step of 4 that is not whole, with several parts, a clipped gradient and everything that is measured."""
    usual = dict(limit=64, batch_size=32, epochs=2, accumulate=2, grad_clip=1.0, measure_every=1, precision="fp64")
    return tiny(name, **{**usual, "device": "cpu", **settings})


def runs(folder, names, **settings):
    torch.set_num_threads(1)
    with launch.processes():
        for name in names:
            twofold.pretrain(out=folder / name, quiet=True, **settings_of(name, **settings))


def in_processes(world, folder, names, **settings):
    """Runs of some methods in so many processes."""

    if world == 1:
        runs(folder, names, **settings)
    else:
        codes, _ = together(world, Runs(settings), folder, names)
        assert codes == [0] * world


class Runs:
    """`runs` with settings, for another process."""

    def __init__(self, settings):
        self.settings = settings

    def __call__(self, folder, names):
        runs(folder, names, **self.settings)


def assert_alike(one, other):
    """Two runs, but for the rounding of float64."""
    rows = [metrics.read_metrics(path / "metrics.jsonl") for path in (one, other)]
    for a, b in zip(*rows, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=LOSS), one
        assert a.get("knn") == b.get("knn")
        assert a["measures"] == pytest.approx(b["measures"], rel=1e-4, abs=1e-5)
    states = [files.load(path / "checkpoint.pt") for path in (one, other)]
    close(*(state["method"] for state in states), one)
    of_weights = [state["optimizer"]["state"] for state in states]
    assert of_weights[0].keys() == of_weights[1].keys()
    for number in of_weights[1]:
        close(of_weights[0][number], of_weights[1][number], f"{one}: weight {number}")
    groups = [state["optimizer"]["param_groups"] for state in states]
    assert groups[0] == groups[1]
    backbones = [files.load_tensors(path / "backbone.safetensors", "") for path in (one, other)]
    close(*backbones, f"{one}: backbone")


def close(some, others, where):
    assert some.keys() == others.keys(), where
    for key, value in others.items():
        how = dict(rtol=WEIGHT, atol=WEIGHT / 10, msg=lambda m, k=key: f"{where}: {k}: {m}")
        torch.testing.assert_close(some[key], value, **how)


def compare(folder, names, **settings):
    in_processes(2, folder / "cut", names, shard=True, **settings)
    in_processes(2, folder / "whole", names, **settings)
    in_processes(1, folder / "one", names, **settings)
    for name in names:
        assert_alike(folder / "cut" / name, folder / "whole" / name)
        assert_alike(folder / "cut" / name, folder / "one" / name)


def test_the_same_run(tmp_path):
    compare(tmp_path, USUAL)


@pytest.mark.slow
def test_the_same_run_of_the_others(tmp_path):
    compare(tmp_path, [name for name in methods() if name not in USUAL])


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        dict(optimizer="lars", clip_each=True),
        dict(optimizer="sgd", keep_statistics=True, freeze=1),
        dict(layer_decay=0.5, heads_first=0.5, grad_clip=0.0, small_crops=2, small_size=8),
    ],
    ids=lambda settings: ",".join(settings),
)
def test_the_same_run_with_other_settings(settings, tmp_path):
    compare(tmp_path, ["dino", "swav", "byol"], **settings)


@pytest.mark.slow
def test_the_same_run_in_four_processes(tmp_path):
    in_processes(4, tmp_path / "cut", ["dino", "pirl"], shard=True)
    in_processes(1, tmp_path / "one", ["dino", "pirl"])
    for name in ("dino", "pirl"):
        assert_alike(tmp_path / "cut" / name, tmp_path / "one" / name)


def killed(out, shard, step):
    """A run whose first process is killed in a step; its second one says that it waits in vain."""
    torch.set_num_threads(1)
    if os.environ["RANK"] == "0":
        at_call(metrics.Metrics, "write", step + 1)
    try:
        twofold.pretrain(out=out, quiet=True, **settings_of("dino", shard=shard, save_every=1, knn_every=0))
    except dist.Lost:
        return "lost"


def test_a_killed_run_goes_on_in_any_form(tmp_path):
    """To the bit where it is cut again, and else but for rounding: from parts to whole weights and back."""
    again = dict(save_every=1, knn_every=0)
    straight = tmp_path / "straight"
    in_processes(2, straight, ["dino"], shard=True, **again)
    for was, world, cut in ((True, 2, True), (True, 1, False), (False, 2, True)):
        out = tmp_path / f"cut {was}, then on {world}, cut {cut}"
        if not (tmp_path / str(was)).exists():
            codes, found = together(2, killed, tmp_path / str(was) / "dino", was, 2)
            assert codes == [KILLED, 0]
            assert found[1] == "lost"
        shutil.copytree(tmp_path / str(was), out)
        in_processes(world, out, ["dino"], shard=cut, **again)
        assert_alike(out / "dino", straight / "dino")
        if was and cut:
            states = [files.load(path / "dino" / "checkpoint.pt") for path in (out, straight)]
            for part in ("method", "optimizer"):
                assert_identical(*(state[part] for state in states), part)


def made(name, **settings):
    """A tiny method in float64, and a step's batch of 8 images for it, of which this process has its rows."""
    wanted = resolved(name, images=64, **{**OWN.get(name, {}), "batch_size": 8, **settings})
    method = build_method(wanted, backbone_spec(wanted), 64).double().train()
    size, mine = wanted.image_size, 8 // dist.world()
    random = torch.Generator().manual_seed(0)
    views = [torch.randn(8, 3, size, size, generator=random, dtype=torch.float64) for _ in "xy"]
    return method, batch_of(method, wanted, views, slice(dist.rank() * mine, (dist.rank() + 1) * mine))


def held(tensors):
    """Bytes that this process keeps for tensors, with all memory that they are views of."""
    memory = [sharding.local(tensor).untyped_storage() for tensor in tensors]
    return sum({part.data_ptr(): part.nbytes() for part in memory}.values())


def a_step_in_parts(folder):
    """The bytes that this process holds before and after it cuts a method, and after a checkpoint was read."""
    torch.set_num_threads(1)
    with launch.processes():
        method, batch = made("dino", backbone="test_vit", image_size=16, projector=(64, 32), prototypes=64)
        optimizer = create_optimizer(method, "adamw", 0.1, 0.9)
        whole = held(method.parameters())
        twin = sharding.shard(method, torch.device("cpu"))
        assert all(weight.is_meta for weight in twin.parameters())
        optimizer = create_optimizer(method, "adamw", 0.1, 0.9)
        found = [whole]
        for place in ("made", "read"):
            if place == "read":
                state = {"method": method.state_dict(), "optimizer": optimizer.state_dict()}
                every = dist.of_first(sharding.gathered(state, torch.device("cpu")))
                parts = sharding.as_weights_lie(every, method, optimizer)
                method.load_state_dict(parts["method"])
                optimizer.load_state_dict(parts["optimizer"])
            method(batch, progress=0.5).loss.backward()
            optimizer.step()
            method.after_step(0.5)
            gradients = [weight.grad for weight in method.parameters() if weight.grad is not None]
            moments = [of[key] for of in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
            found += [held(tensors) for tensors in (method.parameters(), gradients, moments)]
        with sharding.whole(method, twin):
            at_hand = held(twin.parameters()) if dist.rank() == 0 else whole
        assert all(weight.is_meta for weight in twin.parameters())
        return [*found, at_hand]


def test_each_process_keeps_its_part_alone(tmp_path):
    """Half of the weights and of the momentum encoder's; of those that learn half the gradients and both moments."""
    codes, found = together(2, a_step_in_parts, tmp_path)
    assert codes == [0, 0]
    for whole, *of_steps, at_hand in found:
        assert whole <= at_hand <= 1.02 * whole
        for weights, gradients, moments in (of_steps[:3], of_steps[3:]):
            assert weights <= 0.52 * whole
            assert gradients <= 0.26 * whole  # the momentum encoder has none
            assert moments <= 0.52 * whole


def test_parts_are_blocks_and_heads_and_none_has_a_weight_of_another():
    for name in ("test_vit", "test_resnet", "test_convnext", "test_efficientnet"):
        backbone = timm.create_model(name, num_classes=0)
        found = sharding.blocks(backbone)
        weights = [id(weight) for block in found for weight in block.parameters()]
        assert len(weights) == len(set(weights))
        every = sum(weight.numel() for weight in backbone.parameters())
        largest = max(sum(weight.numel() for weight in block.parameters()) for block in found)
        assert len(found) > 3
        assert largest < 0.75 * every
        names = {id(module): name for name, module in backbone.named_modules()}
        if name == "test_vit":
            assert [names[id(block)] for block in found] == ["patch_embed", *(f"blocks.{n}" for n in range(6))]
    assert sharding.blocks(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2))) == []
    method, _ = made("byol", backbone="test_vit", image_size=16, projector=(32, 16), predictor=(32, 16))
    heads = [method.projector, method.predictor, method.target.stages[1]]
    assert all(any(head is part for part in sharding.parts(method)) for head in heads)
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    assert sharding.outermost(nn.ModuleList([nn.ModuleList([one]), two])) == [one, two]


class Tied(nn.Module):
    """Two blocks, and a weight of a single number; ``tied``: what the blocks share."""

    def __init__(self, tied=""):
        super().__init__()
        self.one, self.two = (nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in "xy")
        self.scale = nn.Parameter(torch.tensor(2.0))
        if tied == "a weight":
            self.two[0].weight = self.one[0].weight
        if tied == "a module":
            self.two = nn.Sequential(self.one[0], nn.ReLU())
        if tied == "all":
            self.two = self.one
        if tied == "with the rest":
            self.more = self.one[0].weight

    def forward(self, images):
        return self.scale * self.two(self.one(images.flatten(1)[:, :8]))


def two_steps(tied, shard):
    """The loss and the whole weights of a network with a weight of one number, after two steps with a clipped norm."""
    torch.manual_seed(0)
    method = twofold.create_method("simclr", Tied(tied), 8, projector=(4,)).double()
    if shard:
        sharding.shard(method, torch.device("cpu"))
    optimizer = create_optimizer(method, "adamw", 0.05, 0.9)
    rows = slice(4 * dist.rank(), 4 * dist.rank() + 4)
    for _ in range(2):
        views = [torch.randn(8, 3, 8, 8, dtype=torch.float64)[rows] for _ in "xy"]
        how = dict(accumulate=1, grad_clip=0.1, precision="fp64", progress=0.5)
        learned = learn(method, optimizer, iter([views]), Batch.of, **how)
        set_rates(optimizer, 0.1, 0.1, 0.05)
        optimizer.step()
    return learned.loss, sharding.gathered(method.state_dict())


def strange_networks():
    torch.set_num_threads(1)
    with launch.processes():
        found = [[two_steps(tied, shard) for shard in (False, True)] for tied in ("", "all", "with the rest")]
        refused = []
        for tied in ("a weight", "a module"):
            try:
                sharding.shard(twofold.create_method("simclr", Tied(tied), 8, projector=(4,)), torch.device("cpu"))
            except UsageError as error:
                refused.append(str(error))
        return found, refused


def test_a_weight_of_one_number_stays_whole_and_one_that_two_parts_share_is_refused():
    codes, found = together(2, strange_networks)
    assert codes == [0, 0]
    for (loss, weights), (cut_loss, cut) in found[0][0]:
        assert cut_loss == pytest.approx(loss, rel=LOSS)
        close(cut, weights, "weights")
        assert weights["backbone.scale"] != 2.0
    for _, refused in found:
        assert refused == ["two parts of the network share a weight, which cannot be cut then: set --shard false"] * 2


WORDS = "pretrain digits --limit 64 --batch-size 32 --epochs 1 --knn-every 0 --device cpu --projector 16".split()


def differently(rank, folder):
    os.chdir(folder)
    return ["--shard", "true" if rank == 0 else "false"]


def test_what_does_not_go_together_is_refused(tmp_path):
    codes, said, _ = commanded(2, [*WORDS, "--out", "run"], differently, tmp_path)
    assert codes == [2, 2]
    assert "all processes must be given the same command, but process 0 on " in said[0]
    assert "finds shard true, process 1 on " in said[0]
    with pytest.raises(UsageError, match="shard true does not go with chunk 16"):
        twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("simclr", shard=True, chunk=16))
    assert not (tmp_path / "run").exists()


def test_one_process_says_that_there_is_nothing_to_cut(tmp_path):
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("simclr", shard=True, epochs=1, knn_every=0))
    log = (run.path / "log.txt").read_text()
    assert "shard true has no effect: there is only one process (torchrun starts several)" in log


def test_what_an_optimizer_keeps_lies_as_its_weights_do():
    """A checkpoint may come from where the channels of a convolution were ordered otherwise in memory."""
    weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    kept = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    laid = sharding.as_lies(kept, weight)
    assert torch.equal(laid, kept)
    assert laid.stride() == weight.stride()
    assert laid.dtype == kept.dtype
    assert sharding.as_lies(laid, weight) is laid
    assert sharding.as_lies(kept, torch.zeros(2)) is kept
    assert sharding.as_lies(3, weight) == 3
