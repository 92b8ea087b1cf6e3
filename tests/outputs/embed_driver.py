"""Run by test_embed.py: writes vectors in child processes that are killed at chosen or random moments.

    python -m tests.outputs.embed_driver RUN DATA DIRECTORY

Prints a line of JSON: by ending and moment, the exit codes, and how many images the last attempt found done.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests.killing import at_call, in_a_child
from twofold.encoding import crops
from twofold.outputs import embed as embedding
from twofold.outputs import vectors
from twofold.run import Run

torch.set_num_threads(1)
crops.BATCH, embedding.PIECE = 16, 32  # four pieces: 70 training images, and 20 for testing

# Every file that is written is an fsync, a rename, an fsync of the folder: four pieces, then the whole.
MOMENTS = {
    "before the first piece": lambda: at_call(vectors, "save_piece", 1),
    "in the middle of a piece": lambda: at_call(pq.ParquetWriter, "write_table", 2),
    "before a piece is flushed": lambda: at_call(os, "fsync", 3),
    "before a piece's rename": lambda: at_call(Path, "replace", 2),
    "after a piece's rename": lambda: at_call(os, "fsync", 4),
    "between the parts": lambda: at_call(vectors, "save_piece", 4),
    "before the whole": lambda: at_call(vectors, "assemble", 1),
}
WHOLE = {
    ".parquet": {
        "in the middle of the whole": lambda: at_call(pq.ParquetWriter, "write_table", 6),
        "before the whole's rename": lambda: at_call(Path, "replace", 5),
        "after the whole's rename": lambda: at_call(os, "fsync", 10),
    },
    ".npy": {
        "in the middle of the whole": lambda: at_call(vectors, "_write_npy", 1, lambda file, *_: file.write(b"half")),
        "between index and vectors": lambda: at_call(Path, "replace", 6),
        "between vectors and record": lambda: at_call(Path, "replace", 7),
    },
}
CLEANING = {
    "while pieces are removed": lambda: at_call(
        shutil, "rmtree", 1, lambda folder: next(folder.glob("*.parquet")).unlink()
    )
}

NAMES = dict.fromkeys(["straight", "again and again"])


def work(run, data, target):
    written = embedding.embed(run, data, target, "cpu")
    (target.parent / "before.txt").write_text(str(written.before))


def killed_and_resumed(attempt, sabotage):
    """The two exit codes."""
    return [in_a_child(lambda: (sabotage(), attempt())), in_a_child(attempt)]


def killed_again_and_again(attempt, lasts):
    """From outside, at any moment; then the exit code of an attempt that is left alone."""
    dice = random.Random(0)
    for _ in range(4):
        child = os.fork()
        if child == 0:
            attempt()
            os._exit(0)
        time.sleep(dice.uniform(0, lasts))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return [in_a_child(attempt)]


def main(run, data, root):
    Run(run).backbone()(torch.zeros(16, 3, 8, 8))  # what libraries do once, they need not do in every child
    pa.array(np.zeros(1))
    said = {}
    for ending, moments in WHOLE.items():
        targets = {name: root / ending / name / f"vectors{ending}" for name in NAMES | MOMENTS | moments | CLEANING}
        attempts = {name: partial(work, run, data, target) for name, target in targets.items()}
        for target in targets.values():
            target.parent.mkdir(parents=True)
        began = time.monotonic()
        codes = {"straight": [in_a_child(attempts["straight"])]}
        lasts = time.monotonic() - began
        codes["again and again"] = killed_again_and_again(attempts["again and again"], lasts)
        for name, sabotage in (MOMENTS | moments | CLEANING).items():
            codes[name] = killed_and_resumed(attempts[name], sabotage)
        before = {name: int((target.parent / "before.txt").read_text()) for name, target in targets.items()}
        said[ending] = {"codes": codes, "before": before}
    print(json.dumps(said))


main(*map(Path, sys.argv[1:]))
