"""Does every method learn? The same small budget for each, three seeds, on CIFAR-10.

    python benchmarks/learn.py DATA runs/learn                        # all of it, about an hour on two cores
    python benchmarks/learn.py DATA runs/learn --methods moco,swav --seeds 1
    python benchmarks/learn.py DATA runs/learn --collect              # benchmarks/results/learn.json from what is there

DATA is CIFAR-10 (hf:uoft-cs/cifar10, or a copy). Runs learn from the first 10,000 training images and are scored on the
last 10,000 training images, which no choice of settings has seen: some of the settings below were chosen on test
images. Every run is one process with one thread; two run at a time. Epochs are set so that each takes about the same
time. Goes on where it was stopped. Scores are those of the last step.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import twofold
from twofold.data.opening import open_data
from twofold.data.sources import Subset, digest
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import extract, raw_pixels
from twofold.evaluation.knn import accuracy, knn_predict
from twofold.evaluation.linear import fit_probe
from twofold.evaluation.titles import RAW_PIXELS
from twofold.recipe import recipe

RESULTS = Path(__file__).parent / "results"
REPRESENTATIONS = (RAW_PIXELS, "untrained", "pretrained")
IMAGES = 10_000  # to learn from, and as many to score; the copy is balanced
RESNET = dict(
    backbone="resnet18",
    backbone_arguments={"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 128], "zero_init_last": False},
)
VIT = dict(
    backbone="vit_tiny_patch16_224",
    backbone_arguments={"embed_dim": 96, "depth": 3, "num_heads": 3, "patch_size": 4},
    image_size=24,
    precision="fp32",
)
SAME = dict(image_size=16, batch_size=128, optimizer="adamw", lr=3e-3, weight_decay=1e-2, knn_every=0, grad_clip=3.0)
"""For every method: what a short run on a small network needs, whatever the published recipe says."""

OWN: dict[str, dict[str, Any]] = {
    "simclr": RESNET | dict(epochs=5, projector=[256, 128]),
    "moco": RESNET | dict(epochs=4, projector=[256, 128]),
    "mocov3": RESNET | dict(epochs=4, projector=[256, 128], predictor=[256, 128]),
    "pirl": RESNET | dict(epochs=6, image_size=32, temperature=0.2, lr=1e-3, negatives=1024),
    "barlow_twins": RESNET | dict(epochs=5, projector=[512, 512]),
    "vicreg": RESNET | dict(epochs=5, projector=[512, 512]),
    "lejepa": RESNET | dict(epochs=5, projector=[512, 128], sigreg=0.02),
    "swav": RESNET | dict(epochs=5, projector=[256, 128], prototypes=300, epsilon=0.03, lr=6e-3),
    "byol": RESNET | dict(epochs=5, projector=[512, 128], predictor=[512, 128]),
    "simsiam": RESNET | dict(epochs=5, projector=[512, 256], predictor=[128, 256]),
    "dino": RESNET | dict(epochs=4, projector=[256, 128], prototypes=512, teacher_momentum=[0.99, 1.0],
                          teacher_temperature=[0.04, 0.04], freeze_prototypes=0.1),
    "data2vec": VIT | dict(epochs=12, lr=3e-3, teacher_momentum=[0.998, 1.0]),
    "jigsaw": RESNET | dict(epochs=4, image_size=96, stem="default", batch_size=64, permutations=24, grayscale=0.0,
                            lr=0.01),
    "rotation": RESNET | dict(epochs=3),
    "denoising": RESNET | dict(epochs=7),
    "mae": VIT | dict(epochs=6, lr=2e-3),
    "joint": RESNET | dict(epochs=4, projector=[256, 128], energy="cosine", energy_weight=2.5, functionals="repulsion",
                           normalize=True, target="momentum", predictor=[256, 128]),
}  # fmt: skip


def settings(method: str, data: str, seed: int, changes: dict[str, Any]) -> dict[str, Any]:
    return {**SAME, **OWN[method], "method": method, "data": data, "limit": IMAGES, "seed": seed, **changes}


def run_one(method: str, data: str, seed: int, out: Path, changes: dict[str, Any]) -> None:
    """Train, measure, write score.json."""
    torch.set_num_threads(1)
    wanted = settings(method, data, seed, changes)
    began = time.process_time()
    run = twofold.pretrain(out=out, quiet=True, device="cpu", **wanted)
    seconds = time.process_time() - began
    spec, on = run.spec, torch.device("cpu")
    score = {"pretrained": measure(data, spec.size, Encoder(run.backbone(), spec, on))}
    yardsticks = {"untrained": lambda: Encoder(run.untrained(), spec, on), RAW_PIXELS: lambda: raw_pixels}
    for name, encoder in yardsticks.items():
        about = [spec.size, spec.stem, spec.arguments, seed] if name == "untrained" else [spec.size]
        kept = out.parent / f"{name}-{digest(about)}.json"  # the same for several methods
        if not kept.exists():
            kept.write_text(json.dumps(measure(data, spec.size, encoder())))
        score[name] = json.loads(kept.read_text())
    rows = run.metrics
    told = {
        "steps": len(rows),
        "seconds": round(seconds),
        "loss": [rows[0]["loss"], rows[-1]["loss"], rows[0]["collapsed"]],
    }
    (out / "score.json").write_text(json.dumps({"scores": score, **told, "recipe": recipe.settings_of(run.recipe)}))


def measure(data: str, size: int, encoder: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """kNN and linear probe, fitted to the first `IMAGES` training images and scored on the last."""
    images = open_data(data).train
    train, test = (
        extract(Subset(images, list(part)), size, {"it": encoder})["it"]
        for part in (range(IMAGES), range(len(images) - IMAGES, len(images)))
    )
    probe = fit_probe(train.values, train.labels)
    return {
        "knn": accuracy(knn_predict(train.values, train.labels, test.values), test.labels),
        "linear": accuracy(probe.predict(test.values), test.labels),
    }


def collect(out: Path, data: str) -> None:
    """Write results/learn.json from every score.json there is."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(out.glob("*/score.json")):
        found.setdefault(file.parent.name.rpartition("-")[0], []).append(json.loads(file.read_text()))
    rows = {}
    for name in (name for name in OWN if name in found):
        runs = found[name]
        kept = {
            key: runs[0]["recipe"][key] for key in {**SAME, **OWN[name]} | {"projector": 0} if key in runs[0]["recipe"]
        }
        scores = {
            who: {s: [run["scores"][who][s] for run in runs] for s in ("knn", "linear")} for who in REPRESENTATIONS
        }
        rows[name] = {
            "scores": scores,
            "steps": runs[0]["steps"],
            "seconds": [run["seconds"] for run in runs],
            "loss": [run["loss"] for run in runs],
            "settings": kept,
        }
    about = {
        "data": f"CIFAR-10, a copy in which classes take turns: the first {IMAGES} training images to learn from, "
        f"the last {IMAGES} to score",
        "seconds": "of one core, training only",
        "fingerprint": open_data(data).train.fingerprint(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {n: version(n) for n in ("twofold", "torch", "timm", "scikit-learn")},
    }  # fmt: skip
    (RESULTS / "learn.json").write_text(json.dumps({"about": about, "methods": rows}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", default=",".join(OWN))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--change", default="{}", help="settings to change, as JSON, for trials")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SEED"), help="one run, in this process")
    parser.add_argument("--collect", action="store_true")
    a = parser.parse_args()
    if a.one:
        method, seed = a.one
        run_one(method, a.data, int(seed), a.out, json.loads(a.change))
        return
    wanted = [(m, s) for s in range(a.seeds) for m in a.methods.split(",")]

    def launch(job: tuple[str, int]) -> None:
        method, seed = job
        out = a.out / f"{method}-{seed}"
        if not (out / "score.json").exists():
            words = [sys.executable, __file__, a.data, out, "--one", method, str(seed), "--change", a.change]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True)
            if done.returncode:
                print(method, seed, done.stderr[-2000:], flush=True)
                return
        told = json.loads((out / "score.json").read_text())
        un, pre = (told["scores"][k] for k in ("untrained", "pretrained"))
        gains = [f"{score} {un[score]:.1%} -> {pre[score]:.1%}" for score in un]
        print(f"{method:13} {seed} {told['seconds']:4} s", *gains, [round(v, 3) for v in told["loss"]], flush=True)

    if not a.collect:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(launch, wanted))
    else:
        collect(a.out, a.data)


if __name__ == "__main__":
    main()
