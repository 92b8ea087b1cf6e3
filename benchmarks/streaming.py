"""The memory of a streamed run and of its data workers, epoch by epoch; part of benchmarks/reliability.py."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from twofold.data.encoded import files_under, is_image
from twofold.storage.metrics import read_metrics

IMAGES = 1000
BATCH = 16
MIB = 1 << 20


def grown(photos: Path, out: Path, epochs: int, workers: int) -> dict[str, tuple[float, float]]:
    """Train on files that are decoded when their turn comes; of parent and workers the MiB at the end and their slope.

    The slope, in MiB an epoch, is that of a straight line through all samples after the first epoch, in which libraries
    get what they keep. Memory that the processes share is counted once for each.
    """
    shutil.rmtree(out, ignore_errors=True)
    folder = out / "images"
    folder.mkdir(parents=True)
    sources = sorted(path for path in files_under(photos) if is_image(path))
    for number in range(IMAGES):  # the same files under many names: each is read and decoded anew
        source = sources[number % len(sources)]
        (folder / f"{number}{source.suffix}").symlink_to(source)
    words = "--method simclr --backbone-arguments layers [1,1,1,1] channels [8,8,16,16] --projector 32 16".split()
    words += f"--image-size 32 --batch-size {BATCH} --knn-every 0 --resident no --device cpu".split()
    words += f"--workers {workers} --epochs {epochs} --out {out / 'run'}".split()
    process = subprocess.Popen([sys.executable, "-m", "twofold", "pretrain", str(folder), *words], stderr=-3)
    samples = []
    while process.poll() is None:
        time.sleep(0.25)
        steps = len(read_metrics(out / "run" / "metrics.jsonl"))
        try:
            parent = psutil.Process(process.pid)
            children = [child.memory_info().rss for child in parent.children(recursive=True)]
            if steps and len(children) == workers:
                samples.append((steps * BATCH / IMAGES, parent.memory_info().rss, sum(children)))
        except psutil.NoSuchProcess:  # it is about to end
            continue
    if process.returncode:
        raise SystemExit(f"the streamed run ended with {process.returncode}")
    epoch, *sizes = np.array(samples).T
    later = epoch >= 1
    slopes = [float(np.polyfit(epoch[later], size[later] / MIB, 1)[0]) for size in sizes]
    ends = [float(size[-1] / MIB) for size in sizes]
    return dict(zip(("the process", f"its {workers} workers"), zip(ends, slopes, strict=True), strict=True))
