"""Every loss of twofold.losses beside the plain formula, and beside lightly's where that is installed.

    python benchmarks/losses.py                                   # a grid that a small machine has room and time for
    python benchmarks/losses.py --n 256,65536 --d 128,8192 --losses nt_xent,vicreg --gib 60 --seconds 600

Time is that of the loss and its gradient, and memory the most that both take on top of the embeddings. The plain
formula is the one of the paper, with its whole matrix. Ours, the plain one and lightly's take turns, so what else the
machine does hits all alike; the median counts, beside the least and the most. On a CPU time is that of the processor.
What would need more memory than ``--gib`` or, by its operations, more time than ``--seconds`` a turn is left out, and
the table says so. Writes benchmarks/results/losses.json, and the table last.
"""

import argparse
import ctypes
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import twofold
from twofold import device, losses

T, NEGATIVES, LINES, PAIRS = 0.5, 4096, 256, 14
SPEED = 2e10  # operations in a second of a slow core, to tell what would take too long


def off_diagonal(square: Tensor) -> Tensor:
    return square - square.diagonal().diag_embed()


def nt_xent(x: Tensor, y: Tensor) -> Tensor:
    z, n = F.normalize(torch.cat([x, y])), len(x)
    similarity = (z @ z.T / T).fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(2 * n, device=x.device).roll(n))


def attraction(x: Tensor, y: Tensor) -> Tensor:
    return ((1 - (F.normalize(x) * F.normalize(y)).sum(1)) / T).mean()


def repulsion(x: Tensor, y: Tensor) -> Tensor:
    z = F.normalize(torch.cat([x, y]))
    return (z @ z.T / T).fill_diagonal_(-torch.inf).logsumexp(1).mean() - 1 / T


def info_nce(x: Tensor, y: Tensor, negatives: Tensor) -> Tensor:
    query, key, negatives = F.normalize(x), F.normalize(y), F.normalize(negatives)
    logits = torch.cat([(query * key).sum(1, keepdim=True), query @ negatives.T], 1) / T
    return F.cross_entropy(logits, logits.new_zeros(len(x), dtype=torch.long))


def repulsion_from(x: Tensor, y: Tensor, _: Tensor) -> Tensor:
    """Of the batch's other keys, which learn as well."""
    query, key = F.normalize(x), F.normalize(y)
    return (query @ key.T / T).logsumexp(1).mean() - 1 / T


def ours_from_the_batch(x: Tensor, y: Tensor, _: Tensor) -> Tensor:
    own = torch.arange(len(x), device=x.device)
    return losses.repulsion_from(x, y, y, (own, own), T)


def between(x: Tensor) -> float:
    """About the distance of two images' embeddings here, so that half of the pairs are nearer."""
    return math.sqrt(3 * x.shape[1])


def margin_hinge(x: Tensor, y: Tensor) -> Tensor:
    short = F.relu(between(x) - torch.cdist(x, y)).square() / 2
    return off_diagonal(short).sum() / (len(x) * (len(x) - 1))


def uniformity(x: Tensor, _: Tensor) -> Tensor:
    z, n = F.normalize(x), len(x)
    exponents = (4 * (z @ z.T) - 4).fill_diagonal_(-torch.inf)
    return exponents.flatten().logsumexp(0) - math.log(n * (n - 1))


def koleo(x: Tensor, _: Tensor) -> Tensor:
    z = F.normalize(x)
    nearest = (z @ z.T).detach().fill_diagonal_(-2).argmax(1)
    return -(torch.linalg.vector_norm(z - z[nearest], dim=1) + 1e-8).log().mean()


def coding_rate(x: Tensor, _: Tensor) -> Tensor:
    z, (n, d) = F.normalize(x), x.shape
    return -torch.logdet(torch.eye(d, device=x.device) + d / (0.2 * n) * z.T @ z) / 2


def norm_hinge(x: Tensor, _: Tensor) -> Tensor:
    return F.relu(x.norm(dim=1) - math.sqrt(x.shape[1])).mean()


def sigreg(x: Tensor, _: Tensor, lines: Tensor) -> Tensor:
    t = torch.linspace(-3, 3, 33, device=x.device)
    gaussian = (-t.square() / 2).exp()
    angle = (x @ F.normalize(lines).T)[..., None] * t
    gap = (angle.cos().mean(0) - gaussian).square() + angle.sin().mean(0).square()
    return torch.trapezoid(gap * gaussian, t).mean()


def variance(x: Tensor, _: Tensor) -> Tensor:
    return F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean()


def covariance(x: Tensor, _: Tensor) -> Tensor:
    z = x - x.mean(0)
    return off_diagonal(z.T @ z / (len(x) - 1)).square().sum() / x.shape[1]


def vicreg(x: Tensor, y: Tensor) -> Tensor:
    spread = 25 * F.mse_loss(x, y) + 12.5 * (variance(x, y) + variance(y, x))
    return spread + covariance(x, y) + covariance(y, x)


def barlow_twins(x: Tensor, y: Tensor) -> Tensor:
    a, b = ((z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() for z in (x, y))
    c = a.T @ b / len(x)
    return (c.diagonal() - 1).square().sum() + 0.0051 * off_diagonal(c).square().sum()


def swapped_prediction(x: Tensor, y: Tensor) -> Tensor:
    def code(scores: Tensor) -> Tensor:
        q = (scores.detach() / 0.05).exp().T
        q = q / q.sum()
        for _ in range(3):
            q = q / q.sum(1, keepdim=True) / len(q)
            q = q / q.sum(0, keepdim=True) / q.shape[1]
        return (q * q.shape[1]).T

    one, other = (-(code(a) * F.log_softmax(b / 0.1, 1)).sum(1).mean() for a, b in ((x, y), (y, x)))
    return (one + other) / 2


def dino(x: Tensor, y: Tensor) -> Tensor:
    target = F.softmax(y.detach() / 0.04, 1)
    return -(target * F.log_softmax(x / 0.1, 1)).sum(1).mean()


def multi_crop(x: Tensor, y: Tensor) -> Tensor:
    views, teacher = several(x, y), (x, y)
    return sum(dino(v, t) for i, v in enumerate(views) for j, t in enumerate(teacher) if i != j) / PAIRS


def several(x: Tensor, y: Tensor) -> list[Tensor]:
    """The scores of two full-size views and of six small ones."""
    return [x, y] * 4


def ours_of_several(x: Tensor, y: Tensor) -> Tensor:
    codes = [losses.centred_softmax(t, torch.zeros_like(x[:1])) for t in (x, y)]
    return losses.multi_crop(several(x, y), codes)


def squared_to_mean(x: Tensor, y: Tensor) -> Tensor:
    middle = (x + y) / 2
    return ((x - middle).square().mean() + (y - middle).square().mean()) / 2


class Case(NamedTuple):
    """Our loss and the plain formula, of x, y [N, D] and what ``more`` makes of them.

    ``pairs``: whether it compares all rows, and takes a matrix N x N; ``dimensions``: D x D; ``scores``: rows are
    scores of unit vectors.
    """

    ours: Callable[..., Tensor]
    plain: Callable[..., Tensor]
    pairs: int = 0
    dimensions: int = 0
    more: str = ""
    scores: bool = False


CASES = {
    "nt_xent": Case(partial(losses.nt_xent, temperature=T), nt_xent, pairs=4),
    "repulsion": Case(partial(losses.repulsion, temperature=T), repulsion, pairs=4),
    "info_nce": Case(partial(losses.info_nce, temperature=T), info_nce, more="negatives"),
    "repulsion_from": Case(ours_from_the_batch, repulsion_from, pairs=1, more="negatives"),
    "margin_hinge": Case(lambda x, y: losses.margin_hinge(x, y, between(x)), margin_hinge, pairs=1),
    "uniformity": Case(lambda x, _: losses.uniformity(x), uniformity, pairs=1),
    "koleo": Case(lambda x, _: losses.koleo(x), koleo, pairs=1),
    "coding_rate": Case(lambda x, _: losses.coding_rate(x), coding_rate, dimensions=1),
    "sigreg": Case(lambda x, _, lines: losses.sigreg(x, lines), sigreg, more="lines"),
    "vicreg": Case(losses.vicreg, vicreg, dimensions=2),
    "covariance": Case(lambda x, _: losses.covariance(x), covariance, dimensions=1),
    "variance": Case(lambda x, _: losses.variance(x), variance),
    "barlow_twins": Case(losses.barlow_twins, barlow_twins, dimensions=1),
    "swapped_prediction": Case(losses.swapped_prediction, swapped_prediction, scores=True),
    "dino": Case(lambda x, y: losses.dino(x, y, torch.zeros_like(x[:1])), dino, scores=True),
    "multi_crop": Case(ours_of_several, multi_crop, scores=True),
    "attraction": Case(partial(losses.attraction, temperature=T), attraction),
    "cosine": Case(losses.cosine, lambda x, y: (F.normalize(x) - F.normalize(y)).square().sum(1).mean()),
    "negative_cosine": Case(losses.negative_cosine, lambda x, y: -(F.normalize(x) * F.normalize(y)).sum(1).mean()),
    "squared": Case(losses.squared, lambda x, y: (x - y).square().mean()),
    "squared_to_mean": Case(lambda *xy: losses.squared_to_mean(torch.stack(xy), torch.stack(xy)), squared_to_mean),
    "smooth_l1": Case(losses.smooth_l1, lambda x, y: F.smooth_l1_loss(x, y, beta=2.0)),
    "norm_hinge": Case(lambda x, _: losses.norm_hinge(x), norm_hinge),
}  # fmt: skip


def of_lightly() -> tuple[str | None, dict[str, Callable[..., Tensor]]]:
    """Lightly's version and those of its losses that are the same formula; None where it is not installed."""
    try:
        import lightly
        from lightly import loss
    except ImportError:
        return None, {}
    koleo = loss.KoLeoLoss()
    return lightly.__version__, {
        "nt_xent": loss.NTXentLoss(temperature=T),
        "vicreg": loss.VICRegLoss(),
        "barlow_twins": loss.BarlowTwinsLoss(lambda_param=0.0051),
        "negative_cosine": loss.NegativeCosineSimilarity(),
        "koleo": lambda x, _: koleo(x),
        "multi_crop": lambda x, y: loss.DINOLoss(x.shape[1], center_momentum=1.0)([x, y], several(x, y)),
        "swapped_prediction": lambda x, y: loss.SwaVLoss(sinkhorn_epsilon=0.05)([x, y], []),
    }


class Meter:
    """Seconds and mebibytes of a loss and its gradient."""

    def __init__(self, on: torch.device) -> None:
        self.on = on

    def inputs(self, case: Case, n: int, d: int) -> tuple[list[Tensor], list[Tensor]]:
        """x and y, of which there is a gradient, and what else the loss takes."""
        random = torch.Generator(self.on).manual_seed(0)
        x = torch.randn(n, d, generator=random, device=self.on)
        y = x + torch.randn(n, d, generator=random, device=self.on)
        if case.scores:
            x, y = x / (d**0.5), y / (2 * d) ** 0.5
        rows = {"negatives": NEGATIVES, "lines": LINES}.get(case.more, 0)
        more = [torch.randn(rows, d, generator=random, device=self.on)] if case.more else []
        return [x.requires_grad_(), y.requires_grad_()], more

    def once(self, loss: Callable[..., Tensor], xy: list[Tensor], more: list[Tensor]) -> tuple[float, float, float]:
        """The loss, seconds and MiB of one call."""
        for each in xy:
            each.grad = None
        before = self.reset()
        began = self.clock()
        value = loss(*xy, *more)
        value.backward()
        seconds = self.clock() - began
        return value.item(), seconds, (self.peak() - before) / 2**20

    def clock(self) -> float:
        if self.on.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def reset(self) -> int:
        """Bytes that are in use; the peak begins anew."""
        if self.on.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        if sys.platform != "linux":
            return 0
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return status("VmRSS")

    def peak(self) -> int:
        if self.on.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return status("VmHWM") if sys.platform == "linux" else 0


def status(name: str) -> int:
    """A line of this process's status, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def cost(case: Case, n: int, d: int) -> tuple[float, float]:
    """Of the plain formula about the GiB, and the operations of the loss and its gradient."""
    matrix = case.pairs * n * n + case.dimensions * d * d
    matrix += n * {"negatives": NEGATIVES, "lines": LINES * 33}.get(case.more, 0)
    products = 6 * (case.pairs * n * n * d + case.dimensions * n * d * d)
    products += 6 * n * d * {"negatives": NEGATIVES, "lines": LINES}.get(case.more, 0)
    return 4 * (4 * matrix + 8 * n * d) / 2**30, products + 60 * matrix + 100 * n * d


def measured(name: str, n: int, d: int, options: argparse.Namespace, meter: Meter, others: dict) -> dict | None:
    """One row of the results; None where even ours would take too long."""
    case = CASES[name]
    gib, operations = cost(case, n, d)
    if operations / SPEED > options.seconds or 4 * 10 * n * d / 2**30 > options.gib:
        return None
    ways = {"twofold": case.ours}
    if gib <= options.gib:
        ways |= {"plain": case.plain} | ({"lightly": others[name]} if name in others else {})
    xy, more = meter.inputs(case, n, d)
    turns: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    for turn in range(options.turns + 1):
        for way, loss in ways.items():
            found = meter.once(loss, xy, more if way != "lightly" else [])
            if turn:  # the first warms up
                turns[way].append(found)
    row: dict = {"loss": name, "n": n, "d": d}
    for way, each in turns.items():
        milliseconds = [1000 * seconds for _, seconds, _ in each]
        row[way] = {
            "loss": each[0][0],
            "milliseconds": round(statistics.median(milliseconds), 2),
            "least_and_most": [round(min(milliseconds), 2), round(max(milliseconds), 2)],
            "mib": round(statistics.median(mib for _, _, mib in each), 1),
        }
    for way in turns.keys() - {"twofold"}:
        row[f"time_of_{way}"] = round(row["twofold"]["milliseconds"] / max(row[way]["milliseconds"], 1e-3), 2)
        row[f"memory_of_{way}"] = round(row["twofold"]["mib"] / max(row[way]["mib"], 1e-3), 3)
    return row


def table(rows: list[dict], skipped: int) -> str:
    """The rows as text."""
    lines = [
        f"{'loss':20}{'N':>7}{'D':>6}{'ms':>10}{'least':>10}{'most':>10}{'of plain':>10}{'MiB':>9}{'of plain':>10}"
    ]
    lines[0] += f"{'of lightly: time':>18}{'memory':>8}"
    for row in rows:
        ours = row["twofold"]
        least, most = ours["least_and_most"]
        lines.append(
            f"{row['loss']:20}{row['n']:7}{row['d']:6}{ours['milliseconds']:10.1f}{least:10.1f}{most:10.1f}"
            f"{row.get('time_of_plain', '-'):>10}{ours['mib']:9.1f}{row.get('memory_of_plain', '-'):>10}"
            f"{row.get('time_of_lightly', '-'):>18}{row.get('memory_of_lightly', '-'):>8}"
        )
    left = f"{skipped} settings are left out: they would take too much time or memory here (--seconds, --gib)."
    return "\n".join([*lines, *([left] if skipped else [])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", default=",".join(CASES), help="their names")
    parser.add_argument("--n", default="256,1024,4096,8192,16384,65536", help="images in a batch")
    parser.add_argument("--d", default="128,1024,8192", help="dimensions")
    parser.add_argument("--gib", type=float, default=4.0, help="the most memory that anything may take")
    parser.add_argument("--seconds", type=float, default=20.0, help="the most time that a turn may take")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "losses.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    meter, (version, others) = Meter(device.choose()), of_lightly()
    print(f"lightly {version}" if version else "lightly is not installed: nothing is measured of it", flush=True)
    grid = [
        (name, int(n), int(d))
        for name in options.losses.split(",")
        for n in options.n.split(",")
        for d in options.d.split(",")
    ]
    rows: list[dict] = []
    about = {
        "settings": {key: getattr(options, key) for key in ("gib", "seconds", "turns", "threads")},
        "clock": "wall" if meter.on.type == "cuda" else "processor",
        "device": meter.on.type,
        "versions": {m.__name__: m.__version__ for m in (twofold, torch)}
        | {"python": platform.python_version(), "lightly": version or "not installed"},
        "machine": platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for done, (name, n, d) in enumerate(grid, 1):
        row = measured(name, n, d, options, meter, others)
        if row:
            rows.append(row)
            print(table([row], 0).splitlines()[1], flush=True)
        result = {"rows": rows, "left_out": done - len(rows), **about}
        options.out.write_text(json.dumps(result, indent=2) + "\n")  # an end before the last one loses nothing
    print()
    print(table(rows, len(grid) - len(rows)))


if __name__ == "__main__":
    main()
