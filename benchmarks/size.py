"""What many images cost: starting, taking features, probing 100,000 of them, and crops of up to a billion images.

    python benchmarks/size.py [--images 100000]

In seconds of the processor, one thread, so that what else the machine does counts little. Beside the commands stand
Python with torch alone; beside the features the bare network on tensors that are ready; beside kNN and the linear
probe scikit-learn's, at the same settings. A step's crops are made from sources of different lengths whose images are
the same few. Memory is what a process has taken at most. Writes benchmarks/results/size.json.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

import twofold
from twofold import device
from twofold.augment import Views
from twofold.data.loader import _CroppedSteps
from twofold.data.plan import MicroBatch, Plan
from twofold.data.sources import Array, Source
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import extract
from twofold.evaluation.knn import accuracy, knn_predict, neighbours
from twofold.evaluation.linear import fit_probe
from twofold.nets.backbone import BackboneSpec

RESULTS = Path(__file__).parent / "results" / "size.json"
DIMENSIONS, CLASSES, QUERIES, STRENGTH = 512, 100, 10_000, 10.0
LENGTHS = (10_000, 1_000_000, 1_000_000_000)
BATCH = 256
STARTS = {
    "twofold --help": ["-m", "twofold", "--help"],
    "twofold methods simclr": ["-m", "twofold", "methods", "simclr"],
    "twofold pretrain, no such images": ["-m", "twofold", "pretrain", "no such folder"],
    "twofold pretrain, no such backbone": ["-m", "twofold", "pretrain", "digits", "--backbone", "no such backbone"],
    "import twofold": ["-c", "import twofold"],
    "import torch": ["-c", "import torch"],
}


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of this process, and what the work gives."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def start(words: list[str]) -> float:
    """Seconds of a new Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def starting() -> dict[str, float]:
    return {what: round(statistics.median(start(words) for _ in range(5)), 2) for what, words in STARTS.items()}


def features(images: int) -> dict[str, float]:
    """Of images of 32 pixels in memory, by a ResNet-18 with the small stem and a quarter of its channels."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, 32, 32), np.uint8)
    spec = BackboneSpec("resnet18", {"channels": [16, 32, 64, 128]}, "small", 32, (0.5,) * 3, (0.25,) * 3)
    network = spec.build().eval()
    ready = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    network = network.to(memory_format=torch.channels_last)
    turns = []
    for _ in range(3):
        with torch.inference_mode():
            bare = seconds_of(lambda: [network(ready) for _ in range(8)])[0] / (8 * BATCH)
        encoder = Encoder(network, spec, torch.device("cpu"))
        own = seconds_of(lambda: extract(Array(pixels), 32, {"it": encoder}))[0] / images  # noqa: B023
        turns.append((1 / own, 1 / bare, bare / own))
    own, bare, share = (statistics.median(column) for column in zip(*turns, strict=True))
    return {"images_a_second": round(own), "bare": round(bare), "share": round(share, 2)}


def probes(images: int) -> dict[str, dict[str, float]]:
    """Features of overlapping Gaussians, one a class."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, DIMENSIONS, generator=random) * 0.2
    y = torch.arange(images + QUERIES) % CLASSES
    x = centres[y] + torch.randn(len(y), DIMENSIONS, generator=random)
    (bank, labels), (queries, wanted) = (x[:images], y[:images]), (x[images:], y[images:])
    k = neighbours(images, CLASSES)

    def theirs_knn() -> torch.Tensor:
        unit = [F.normalize(each).numpy() for each in (bank, queries)]
        votes = KNeighborsClassifier(k, weights=lambda d: np.exp(-d / 0.1), metric="cosine", algorithm="brute")
        return torch.from_numpy(votes.fit(unit[0], labels.numpy()).predict(unit[1]))

    def theirs_linear() -> torch.Tensor:
        mean = bank.mean(0)
        length = (bank - mean).square().sum(1).mean().sqrt()
        solver = LogisticRegression(C=STRENGTH, max_iter=1000, tol=1e-6)  # as near to the minimum as ours
        fitted = solver.fit(((bank - mean) / length).numpy(), labels.numpy())
        return torch.from_numpy(fitted.predict(((queries - mean) / length).numpy()))

    found = {}
    for name, ways in {
        "kNN": {"twofold": lambda: knn_predict(bank, labels, queries, k), "scikit-learn": theirs_knn},
        "linear": {
            "twofold": lambda: fit_probe(bank, labels, STRENGTH).predict(queries),
            "scikit-learn": theirs_linear,
        },
        "linear, strength chosen of four": {"twofold": lambda: fit_probe(bank, labels).predict(queries)},
    }.items():
        row: dict[str, float] = {}
        for way, work in ways.items():
            seconds, predicted = seconds_of(work)
            row[way] = round(seconds, 1)
            row[f"accuracy_of_{way}"] = round(accuracy(predicted, wanted), 4)
        found[name] = row
        print(name, row, flush=True)
    return found


class Repeated(Source):
    """As many images as one likes, which are the same 64."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.images = np.random.default_rng(0).integers(0, 256, (64, 3, 64, 64), np.uint8)

    def __len__(self) -> int:
        return self.length

    def image(self, index: int) -> np.ndarray:
        return self.images[index % 64]

    def compute_fingerprint(self) -> str:
        return str(self.length)


def crops(length: int) -> dict[str, float]:
    """Two crops each of a batch: the first one with all that comes before it, and those that follow."""
    began = time.process_time()
    taken = peak()
    steps = _CroppedSteps(Repeated(length), Plan(length, BATCH, 0), Views(32))
    first = seconds_of(lambda: steps.made(MicroBatch(0, slice(0, BATCH))))[0] + time.process_time() - began
    late = length // BATCH * 3 + 5  # in the fourth epoch
    later = [seconds_of(lambda: steps.made(MicroBatch(late + n, slice(0, BATCH))))[0] for n in range(10)]  # noqa: B023
    return {
        "first_milliseconds": round(1000 * first, 1),
        "milliseconds": round(1000 * statistics.median(later), 1),
        "mib": round(peak() - taken, 1),
    }


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    images = parser.parse_args().images
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    device.reuse_memory()
    crops(1000)  # warms up
    result: dict[str, Any] = {"images": images}
    result["crops"] = {str(length): crops(length) for length in LENGTHS}
    print(result["crops"], flush=True)
    result["start"] = starting()
    print(result["start"], flush=True)
    result["features"] = features(images)
    print(result["features"], flush=True)
    result["probes"] = probes(images)
    result |= {
        "versions": {m.__name__: m.__version__ for m in (twofold, torch, sklearn)},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
