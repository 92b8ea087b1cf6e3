"""The linear probe against scikit-learn's, on made features: time, processor time, agreement.

    python benchmarks/probe.py [--images 50000] [--features 512] [--classes 10] [--threads 2]

The features are a rectified random map of overlapping classes, as a backbone's are: all positive, correlated, a few
strong directions and many weak ones. Ours chooses among its strengths C on a held-out tenth and fits on all;
scikit-learn fits once, at the C that was chosen, to its own default tolerance. Same threads, one after the other.
"""

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import twofold
from twofold.evaluation import linear
from twofold.evaluation.linear import fit_probe, scale_of

TEST = 10_000


def made(images: int, features: int, classes: int, overlap: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [images, features] and labels: classes are centres in 64 dimensions, blurred, mapped at random."""
    generator = torch.Generator().manual_seed(0)
    inner = 64
    labels = torch.randint(classes, (images,), generator=generator)
    centres = torch.randn(classes, inner, generator=generator)
    hidden = centres[labels] + overlap * torch.randn(images, inner, generator=generator)
    decay = torch.arange(1, inner + 1) ** -0.5
    mapped = (hidden * decay) @ torch.randn(inner, features, generator=generator)
    return (mapped + 0.5 * torch.randn(images, features, generator=generator)).relu(), labels


def timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it returns; seconds on the clock and of the processor."""
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    result = call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return result, {"wall": round(time.perf_counter() - clock, 1), "user": round(after.ru_utime - before.ru_utime, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--overlap", type=float, default=4.0, help="blur of the classes; their centres have 1")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/probe.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    features, labels = made(options.images + TEST, options.features, options.classes, options.overlap)
    x, y, test, truth = features[:-TEST], labels[:-TEST], features[-TEST:], labels[-TEST:]
    with threadpool_limits(options.threads):
        probe, ours = timed(lambda: fit_probe(x, y))
        again, once = timed(lambda: fit_probe(x, y, probe.strength))
        mean, length = scale_of(x)
        scaled, asked = (((part - mean) / length).numpy() for part in (x, test))
        model = LogisticRegression(C=probe.strength, max_iter=10_000)
        _, theirs = timed(lambda: model.fit(scaled, y.numpy()))
    predicted = {"twofold": probe.predict(test).numpy(), "scikit_learn": model.predict(asked)}
    accuracy = {name: float(np.mean(found == truth.numpy())) for name, found in predicted.items()}
    result = {
        "what": f"{options.images} x {options.features} features, {options.classes} classes, {options.threads} threads",
        "seconds": {
            "twofold_strength_chosen": ours,
            "twofold_one_strength": once,
            "scikit_learn_one_strength": theirs,
        },
        "times_as_fast": {kind: round(theirs[kind] / once[kind], 1) for kind in once},
        "strength": probe.strength,
        "tried": list(linear.STRENGTHS),
        "accuracy": accuracy,
        "accuracy_at_one_strength": float((again.predict(test) == truth).float().mean()),
        "points_apart": round(100 * abs(accuracy["twofold"] - accuracy["scikit_learn"]), 3),
        "same_prediction": float(np.mean(predicted["twofold"] == predicted["scikit_learn"])),
        "settings": {key: value for key, value in vars(options).items() if key != "out"},
        "versions": {m.__name__: m.__version__ for m in (twofold, torch, sklearn)}
        | {"python": platform.python_version()},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
