"""Run by test_pack.py: packs images in child processes that are killed at chosen or random moments.

    python -m tests.outputs.pack_driver DATA DIRECTORY

Prints a line of JSON: by moment, the exit codes, and how many shards the last attempt found done.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from tests.killing import at_call, in_a_child
from twofold.data import listing
from twofold.outputs import pack as packing

torch.set_num_threads(1)
packing.MIB = 16384  # a few images a shard

# Of every shard: the tar's fsync, its rename, the folder's fsync; the same of the listing; the fsync of the index.
MOMENTS = {
    "before anything": lambda: at_call(os, "fsync", 1),
    "in the middle of a shard": lambda: at_call(packing, "member", 3),
    "before a shard's rename": lambda: at_call(Path, "replace", 4),
    "between shard and listing": lambda: at_call(listing, "save", 2),
    "before the index is flushed": lambda: at_call(os, "fsync", 7),
    "after a shard": lambda: at_call(packing.Index, "add", 2),
    "in the middle of a line of the index": lambda: at_call(packing.Index, "add", 2, torn),
}


def torn(index, row):
    with open(index.folder / listing.INDEX, "ab") as file:
        file.write(b'{"shard": "train-0000')


def work(data, out):
    before = packing.pack(data, out, longest=12, shard_mib=1).before
    (out.parent / f"{out.name}.before").write_text(str(before))


def killed_again_and_again(data, out, lasts):
    """From outside, at any moment; then the exit code of an attempt that is left alone."""
    dice = random.Random(0)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            work(data, out)
            os._exit(0)
        time.sleep(dice.uniform(0, lasts))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return [in_a_child(lambda: work(data, out))]


def main(data, root):
    began = time.monotonic()
    codes = {"straight": [in_a_child(lambda: work(data, root / "straight"))]}
    codes["again and again"] = killed_again_and_again(data, root / "again and again", time.monotonic() - began)
    for name, sabotage in MOMENTS.items():
        out = root / name
        killed = in_a_child(lambda sabotage=sabotage, out=out: (sabotage(), work(data, out)))
        codes[name] = [killed, in_a_child(lambda out=out: work(data, out))]
    print(json.dumps({"codes": codes, "before": {name: int((root / f"{name}.before").read_text()) for name in codes}}))


main(*map(Path, sys.argv[1:]))
