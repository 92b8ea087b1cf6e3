"""On a GPU: `pytest -m gpu`, on a machine that has one. Elsewhere these tests are not chosen."""

import copy
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._pytree import tree_map

import twofold
from tests.conftest import picture, resolved, tiny
from tests.methods.making import made
from tests.training.making import pretrain
from twofold import device, measures
from twofold.augment import Views
from twofold.cli.entry import main
from twofold.data.plan import Plan
from twofold.data.resident import Resident
from twofold.encoding.encoder import Encoder
from twofold.evaluation import finetune
from twofold.methods.building import backbone_spec, build_method
from twofold.recipe.declared import methods
from twofold.training.optimizer import create_optimizer, set_rates
from twofold.training.prepare import MicroBatches, Preparation
from twofold.training.step import learn

pytestmark = pytest.mark.gpu
every_method = pytest.mark.parametrize("name", methods())
FULL = dict(jitter=0.8, grayscale=0.2, blur=(0.5, 0.5), solarize=(0.2, 0.2), flip=0.5)
GPU = torch.device("cuda", 0)


@pytest.fixture
def exact(monkeypatch):
    """Convolutions in all of float32's digits: cuDNN rounds their factors to ten bits by default."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def gradient(method, batch):
    """A loss and all gradients of it, float64 on the CPU."""
    loss = method(batch, 0.5).loss
    loss.backward()
    grads = [p.grad.flatten() for p in method.parameters() if p.grad is not None]
    return loss.double().cpu(), torch.cat(grads).double().cpu()


def moved(batch, *to):
    """A batch elsewhere, or of another type; what is no number stays."""

    def move(leaf):
        if not isinstance(leaf, torch.Tensor):
            return leaf
        return leaf.to(*to) if leaf.is_floating_point() else leaf.to(*(one for one in to if one == GPU))

    return tree_map(move, batch)


@pytest.mark.parametrize("name", [name for name in methods() if name != "denoising"])  # whose noise a GPU draws
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_a_method_computes_what_it_does_on_the_cpu(name, dtype, most, exact):
    """Loss and gradients of one batch, against float64 on the CPU."""
    method, batch = made(name)
    here = copy.deepcopy(method).double()
    loss, grads = gradient(here, moved(batch, torch.float64))
    there = device.place(method, GPU, dtype)
    for network, _ in there.given().values():
        device.place(network, GPU, dtype)
    found, found_grads = gradient(there, moved(batch, GPU, dtype))
    assert abs(found - loss) <= most * max(1, abs(loss))
    assert (found_grads - grads).norm() <= 10 * most * grads.norm()


@every_method
def test_a_method_learns_in_bf16(name, tmp_path):
    """Twenty steps with finite losses, by the same loop as everywhere; what comes out can be evaluated."""
    settings = dict(device="cuda", precision="bf16", batch_size=64, limit=640, epochs=2, **FULL)
    run = pretrain(tmp_path / "run", method=name, **settings)
    assert len(run.metrics) == 20
    assert all(math.isfinite(row["loss"] + row["gradient_norm"]) for row in run.metrics)
    assert all(weight.isfinite().all() for weight in run.backbone().parameters())


@every_method
@pytest.mark.filterwarnings("ignore:Synchronization debug mode:UserWarning")  # may miss some, it says
def test_a_step_waits_for_nothing(name, tmp_path):
    """torch itself raises where this process would wait for the device."""
    images, batch, before, steps = 64, 32, 3, 3
    settings = resolved(images=images, **tiny(name, **FULL, limit=images, batch_size=batch))
    method = device.place(build_method(settings, backbone_spec(settings), images), GPU).train()
    for network, _ in method.given().values():
        device.place(network, GPU)
    side = settings.image_size
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (images, 3, side, side), np.uint8))
    optimizer = create_optimizer(method, settings.optimizer, settings.weight_decay, settings.optimizer_momentum)
    prepare = Preparation(settings, method, batch, GPU, torch.float32)
    loaded = Resident(pixels, torch.tensor([[side, side]]).expand(images, 2), GPU)
    total = before + steps
    crops = loaded.load(Plan(images, batch, 0), prepare.views, MicroBatches(range(total), batch, 1))
    learned = []
    try:
        for step in range(total):
            torch.cuda.set_sync_debug_mode("error" if step >= before else "default")
            set_rates(optimizer, 0.01, 0.01, 0.0)
            options = dict(accumulate=1, grad_clip=1.0, precision="bf16", progress=step / total)
            learned.append(learn(method, optimizer, crops, prepare, **options))
            optimizer.step()
            method.after_step(step / total)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(math.isfinite(one.loss) for one in learned)


@pytest.mark.parametrize("size", [32, 96])
def test_views_are_those_of_the_cpu(size, exact):
    """All but a few pixels: those that lie at a threshold, or whose hue turns over."""
    images = torch.from_numpy(np.stack([picture(120, 160, i) for i in range(16)])).permute(0, 3, 1, 2).contiguous()
    views = Views(size, small_crops=2, **FULL)
    here, there = views(images, step=0), copy.deepcopy(views).to(GPU)(images.to(GPU), step=0)
    for one, other in zip(here.views, there.views, strict=True):
        assert other.images.device == GPU
        away = (one.images - other.images.cpu()).abs() > 1e-3
        assert away.float().mean() < 1e-3


def test_numbers_of_every_kind_are_cropped(tmp_path):
    """16-bit and float bands, in memory of the GPU."""
    random = np.random.default_rng(0)
    for name, dtype, high in (("short", np.uint16, 60_000), ("float", np.float32, 1.0)):
        np.save(tmp_path / f"{name}.npy", (random.random((64, 5, 16, 16)) * high).astype(dtype))
        run = pretrain(tmp_path / name, data=tmp_path / f"{name}.npy", device="cuda", batch_size=32, epochs=2)
        assert math.isfinite(run.metrics[-1]["loss"])


def test_measures_are_those_of_the_cpu():
    z = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    here, there = measures.of_embeddings(z), measures.of_embeddings(z.to(GPU))
    assert there == pytest.approx(here, rel=1e-6, nan_ok=True)


def test_a_run_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """In float64, so that what the GPU adds up in another order stays small; then once more on the CPU."""
    wanted = dict(epochs=3, precision="fp64", save_every=4, knn_every=0)
    whole = pretrain(tmp_path / "whole", device="cuda", **wanted)
    from twofold.training.journal import Journal

    tell = Journal.tell

    def stopped(self, step, *rest):
        if step == 6:
            raise KeyboardInterrupt
        return tell(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "tell", stopped)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path / "parts", device="cuda", **wanted)
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "parts").iterdir():
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes()) if path.is_file() else None
    for out, on in (("parts", "cuda"), ("other", "cpu")):
        again = pretrain(tmp_path / out, device=on, **wanted)
        losses = [[row["loss"] for row in run.metrics] for run in (whole, again)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two classes of 40 JPEG files."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(80):
        path = folder / f"{'ab'[number % 2]}/{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(90 + number % 3, 120, seed=number % 2)).save(path)
    return folder


@pytest.mark.parametrize("resident", ["yes", "no"])
def test_every_command(photographs, tmp_path, capsys, monkeypatch, resident):
    monkeypatch.setattr(finetune, "STEPS", 5)
    monkeypatch.setattr(finetune, "EPOCHS", 1)
    run, short = str(tmp_path / "run"), "--image-size 32 --epochs 2 --batch-size 16 --backbone test_resnet".split()
    main(["pretrain", str(photographs), "--out", run, "--resident", resident, *short])
    main(["evaluate", run, "--protocols", "knn,linear,fewshot,finetune"])
    main(["diagnose", run])
    main(["embed", run, str(photographs), "--out", str(tmp_path / "features.npy")])
    main(["export", run, "--out", str(tmp_path / "network.safetensors")])
    assert "pretrained" in capsys.readouterr().out
    loaded = twofold.Run(run)
    images = torch.from_numpy(np.stack([picture(32, 32, i) for i in range(8)])).permute(0, 3, 1, 2).contiguous()
    here, there = (Encoder(loaded.backbone(), loaded.spec, torch.device(on))(images).cpu() for on in ("cpu", "cuda"))
    assert torch.nn.functional.cosine_similarity(here, there).min() > 0.999


def test_a_run_from_weights_and_its_neighbours(photographs, tmp_path):
    start = pretrain(tmp_path / "start", data=photographs, image_size=32, device="cuda", backbone_arguments={})
    run = pretrain(
        tmp_path / "run", data=photographs, weights=str(start.path), device="cuda", batch_size=16, epochs=3,
        layer_decay=0.7, freeze=1, backbone_arguments=None, image_size=None,
    )  # fmt: skip
    assert run.recipe.neighbours == 5
    assert math.isfinite(run.metrics[-1]["loss"])


@pytest.mark.parametrize("shard", ["false", "true"])
def test_one_process_of_a_launch(tmp_path, shard):
    """The processes are joined by NCCL."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m", "twofold", "pretrain"]
    words += ["digits", "--limit", "256", "--batch-size", "64", "--epochs", "1", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, *words, "--shard", shard], env=os.environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert len(twofold.Run(tmp_path / "run").metrics) == 4


def test_too_large_a_batch_is_said_in_one_line(photographs, tmp_path, capsys):
    """Of a share of the memory that such a batch cannot fit into."""
    torch.cuda.set_per_process_memory_fraction(0.001)
    try:
        with pytest.raises(SystemExit) as ended:
            main(
                ["pretrain", str(photographs), "--out", str(tmp_path / "run"), "--batch-size", "64", "--device", "cuda"]
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "out of memory" in said
    assert "--batch-size" in said
