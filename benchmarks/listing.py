"""What a source of very many images takes of memory, in the process that opens it and in each of its workers.

    python benchmarks/listing.py [--files 1000000] [--workers 2] [--looks 20000]

The files have made-up names and are not there. Each worker, a forked process, looks up the name and the label of some
of them, as it would for reading them; what it has then copied for itself is what it takes beside its parent.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from twofold.data import encoded, sources

MIB = 1 << 20


def taken(what: str) -> float:
    """A figure of this process's memory in MiB, by Linux's name."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def made_up(count: int):
    """Names as data sets have them: a thousand classes."""

    def files_under(root: Path, _: object = None):
        return (root / f"n{number % 1000:08}" / f"n{number % 1000:08}_{number}.JPEG" for number in range(count))

    return files_under


def look(source: sources.Source, looks: int, seed: int) -> None:
    for number in np.random.default_rng(seed).integers(0, len(source), looks).tolist():
        source.name(number), source.label(number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--looks", type=int, default=20_000)
    asked = parser.parse_args()
    encoded.files_under = made_up(asked.files)
    before, began = taken("Private"), time.process_time()
    source = encoded.Folder(Path("photos"))
    seconds = time.process_time() - began
    print(
        f"{asked.files} files: {taken('Private') - before:.0f} MiB in the parent, {seconds:.1f} s to list", flush=True
    )
    for worker in range(asked.workers):
        child = os.fork()
        if child == 0:
            empty = taken("Private_Dirty")
            look(source, asked.looks, worker)
            print(f"worker {worker}: {taken('Private_Dirty') - empty:.0f} MiB after {asked.looks} looks", flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
