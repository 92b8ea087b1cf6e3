"""While a run goes on: the measures of a step, from what the method has at hand, and the doctor's word on them."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from twofold import measures as m
from twofold.diagnosis.doctor import Finding, examine
from twofold.methods.base import Method, Output
from twofold.nets.heads import Prototypes
from twofold.nets.memory import Bank, Queue
from twofold.nets.momentum import MomentumEncoder
from twofold.recipe.general import Recipe
from twofold.storage.metrics import Row

ROWS = 512
"""How many images of a batch are looked at, at most: the cost grows with their cube."""


@torch.no_grad()
def measure(method: Method, output: Output, terms: dict[str, float], progress: float, epoch: int) -> dict[str, float]:
    """What `measures` says of a step's embeddings, and of the target, prototypes and memory where there are any.

    Nothing, if embeddings hold values that are not finite: the loop judges those by the loss.

    Args:
        terms: the loss's terms as numbers.
        progress: share of the run that is done, 0 to 1.
        epoch: steps in an epoch.
    """
    views = [rows.detach()[:ROWS] for rows in output.embeddings[:2]]
    if not all(bool(rows.isfinite().all()) for rows in views):
        return {}
    if views[0].device.type == "mps":  # it has no float64
        views, method = [rows.cpu() for rows in views], copy.deepcopy(method).cpu()
    spectrum = m.covariance_spectrum(views[0], m.rounding(views[0]))
    found = m.of_embeddings(views[0], spectrum)
    if len(views) == 2:
        found["alignment"] = m.alignment(*views)
    if len(terms) > 1 and terms.keys() & set(m.ENERGIES):
        found["energy_share"] = m.energy_share(terms)
    for module in method.children():
        if isinstance(module, MomentumEncoder):
            found["target_distance"] = m.parameter_distance(*module.weights())
        elif isinstance(module, Prototypes):
            chosen = module(torch.cat(views).to(module.weight.dtype)).argmax(1)
            found["prototype_entropy"] = m.prototype_entropy(chosen, len(module.weight))
            found["largest_cluster"] = float(chosen.bincount().max() / len(chosen))
        elif isinstance(module, Queue | Bank) and len(module.rows):
            target = next((t for t in method.children() if isinstance(t, MomentumEncoder)), None)
            horizon = float(epoch) if isinstance(module, Bank) else target.horizon(progress) if target else math.nan
            found |= memory(module.rows, module.age, horizon)
    return {name: value for name, value in found.items() if value == value}  # what cannot be told is left out


def memory(rows: Tensor, age: Tensor, horizon: float) -> dict[str, float]:
    """Of a queue or a bank: stale entries, stand-ins that were never replaced, and how alike its entries are.

    ``horizon``: the age in steps from which an entry is stale; NaN where nothing says, without a momentum encoder.
    """
    some = rows[:: max(1, len(rows) // ROWS)][:ROWS]
    return {
        "stale_negatives": m.stale_share(age, horizon) if horizon == horizon else math.nan,
        "stand_ins": float((age < 0).double().mean()),
        "memory_cosine": m.mean_cosine(some) if len(some) > 1 else 0.0,
    }


def due(settings: Recipe, step: int, steps: int) -> bool:
    """Whether it is the turn of one of so many steps to be measured."""
    every, done = settings.measure_every, step + 1
    return every > 0 and (done % every == 0 or done in (1, steps))


class Watch:
    """The doctor beside a run: every so many steps he measures, and says what he did not say before."""

    def __init__(self, settings: Recipe, steps: int, epoch: int, rows: Sequence[Row]) -> None:
        """
        Args:
            settings: the run's recipe; ``measure_every`` says when it is measured.
            steps: of the whole run.
            epoch: how many steps an epoch has.
            rows: those of metrics.jsonl so far, when a run goes on.
        """
        self.settings, self.steps, self.epoch = settings, steps, epoch
        self.rows = [row for row in rows if "measures" in row or "knn" in row]
        self.told = {finding.name for finding in self.findings()} if settings.on_collapse == "warn" else set()

    def look(self, row: Row, method: Method, output: Output) -> list[Finding]:
        """Measure a step, if it is its turn, and put ``measures`` into its row; the findings that are new."""
        if due(self.settings, row["step"], self.steps):
            terms = {name: row[name] for name in output.terms}
            if found := measure(method, output, terms, row["step"] / self.steps, self.epoch):
                row["measures"] = found
        if "measures" not in row and "knn" not in row:
            return []
        self.rows.append(row)
        new = [finding for finding in self.findings() if finding.name not in self.told]
        self.told |= {finding.name for finding in new}
        return new

    def findings(self) -> list[Finding]:
        return examine(self.rows, self.settings)
