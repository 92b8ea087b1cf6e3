"""The doctor: from the metrics of a run to what is wrong with it, since when, why, and what to try.

It tells two collapses apart: complete, the same output whatever comes in (arXiv 2105.04906 section 1), and dimensional,
different outputs with little information in each (arXiv 2110.09348). Every rule looks at measured steps only and asks
that a sign lasts, so that what a healthy run passes through is no finding.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twofold.diagnosis import causes
from twofold.diagnosis.beginnings import by_scores
from twofold.diagnosis.causes import CLUSTER, COMPLETE, DIMENSIONAL, EMPTY, MEMORY, NORMS, START, explain
from twofold.recipe.declared import spec
from twofold.recipe.general import Recipe
from twofold.storage.metrics import Row

LASTING = 3
"""How many measured steps in a row must show a sign."""
SETTLED = 0.1
"""The share of a run before which only a dead start is looked for."""
SAME = 0.995
"""Outputs count as the same if the mean cosine between different images stays above this."""
SAME_AT_ONCE = 0.999
"""The same at a single look, as networks that were never trained were seen with 0.994, and of averaged tokens: a masked
autoencoder's had 0.998 while nearest neighbours were told as well as before, data2vec's 0.997."""
FEW = {"pretext": 2.0, "generative": 2.0}
"""Outputs that vary in fewer directions count as poor, by the method's family."""
FEW_ELSE = 3.0
"""The same for other families: healthy runs of BYOL and MoCo on few images were seen with 4 to 6."""
DECORRELATED = 0.08
"""The same as a share of the possible directions, where the loss decorrelates: 20 % and more were seen."""
ENOUGH = 4
"""So many times as many directions must be possible: of fewer images even the best outputs have no more."""
NEAR = 0.002
"""A loss counts as at its trivial value within this share of that value, or of the way that it has come from there."""
NEAR_GIVEN = 0.01
"""The same where the target is given: such a loss is noisier, and passes the value only once."""
STUCK = 0.5
"""The share of a run that a loss must have been at its trivial value."""
NO_ENERGY = 0.02
"""The largest share that the energy has in a collapsed loss of several terms."""
ALL = 0.9
"""The share of a batch in one cluster above which that cluster takes all."""
UNFED = 0.1
"""The share of a memory that may never have been fed: unreadable images and the tail of an epoch are less."""
ALIKE = 0.99
"""The mean cosine between a memory's entries above which they are alike."""
BURST = 1e3
"""How many times what they were at first lengths or gradients may grow."""
STILL = 1e-7
"""The norm of the first gradient, for each unit of loss, that moves nothing."""

GIVEN = ("pretext", "generative")
"""Families whose target is given and cannot collapse."""

Sign = Callable[[Row], str]
"""What a row shows, in words; empty if it does not show it."""


@dataclass(frozen=True)
class Finding:
    """What is wrong.

    ``since`` is the first measured step of the stretch that shows it; None where there is no history to tell from.
    """

    name: str
    since: int | None
    seen: str
    cause: str
    advice: str

    @property
    def sentence(self) -> str:
        since = "" if self.since is None else f" since step {self.since}"
        return f"{self.name}{since}: {self.seen}. Likely cause: {self.cause}. Try: {self.advice}."


def examine(rows: Sequence[Row], settings: Recipe) -> list[Finding]:
    """What is wrong with a run, the most telling first; nothing if it looks healthy.

    Args:
        rows: those of metrics.jsonl so far, the first step's among them.
        settings: the run's recipe.
    """
    if not rows or "steps" not in rows[0]:  # not from the start on
        return []
    if empty := nothing_in_images(rows[0]):  # whatever else there is follows
        return [Finding(EMPTY, rows[0]["step"], empty, *explain(EMPTY, settings))]
    found = shown_by_measures([row for row in rows if "measures" in row], settings)
    if lost := by_scores(rows):
        found[lost[0]] = lost[1:]
    return [Finding(name, since, seen, *explain(name, settings)) for name, (since, seen) in found.items()]


def family_of(settings: Recipe) -> str:
    """Of a recipe's method, as its card says it."""
    return spec(settings.method).parts().get("family", "")


def shown_by_measures(rows: Sequence[Row], settings: Recipe) -> dict[str, tuple[int | None, str]]:
    """What measured rows show, by the name of the finding: since which step, and what was seen."""
    if not rows or "steps" not in rows[0]:
        return {}
    first, steps = rows[0], rows[0]["steps"]
    family = family_of(settings)
    signs: dict[str, Sign] = {
        CLUSTER: one_cluster,
        COMPLETE: lambda row: all_the_same(row, SAME_AT_ONCE if settings.pool == "average" else SAME),
        DIMENSIONAL: lambda row: few_directions(row, family),
        NORMS: lambda row: exploding(row, first),
        MEMORY: lambda row: dead_memory(row, rows),
    }
    found: dict[str, tuple[int | None, str]] = {START: (first["step"], still(first))} if still(first) else {}
    waiting = getattr(settings.options, "freeze_prototypes", 0.0)  # until then all may be nearest one that cannot move
    settled = [row for row in rows if row["step"] >= (SETTLED + waiting) * steps]
    for name, sign in signs.items():
        shown = stretch(settled, sign)
        if len(shown) >= LASTING:
            found[name] = (shown[0]["step"], sign(shown[-1]))
    if since := stuck(settled, first, steps, family in GIVEN):
        found[causes.STUCK] = since
    if COMPLETE in found:  # the rest of it follows
        found = {name: it for name, it in found.items() if name not in (DIMENSIONAL, MEMORY)}
    return found


def examine_once(measures: dict[str, float]) -> list[Finding]:
    """What is wrong with embeddings by their `measures` alone, where nothing is known of how they came to be."""
    row = {"measures": measures}
    seen = {COMPLETE: all_the_same(row, SAME_AT_ONCE), DIMENSIONAL: few_directions(row, "")}
    worst = next((name for name, words in seen.items() if words), None)
    return [] if worst is None else [Finding(worst, None, seen[worst], *explain(worst, None))]


def stretch(rows: Sequence[Row], sign: Sign) -> list[Row]:
    """The rows at the end that all show a sign."""
    shown: list[Row] = []
    for row in reversed(rows):
        if not sign(row):
            break
        shown.insert(0, row)
    return shown


def still(first: Row) -> str:
    if first["gradient_norm"] > STILL * max(1.0, abs(first["loss"])):
        return ""
    return f"the first gradient has the norm {first['gradient_norm']:.1e} at a loss of {first['loss']:.3g}"


def nothing_in_images(first: Row) -> str:
    """What is wrong with the images themselves, which were looked at before the first step."""
    if "images_looked_at" not in first:
        return ""
    of, blank, alike = first["images_looked_at"], first["images_blank"], first["images_alike"]
    if first["images_largest"] == 1:
        return f"the {of} images that were looked at have 1 x 1 pixel"
    if blank >= alike:
        return f"{blank:.0%} of the {of} images that were looked at are of a single colour"
    return f"{alike:.0%} of the {of} images that were looked at are the same image"


def all_the_same(row: Row, same: float = SAME) -> str:
    cosine = row["measures"]["cosine"]
    return f"the mean cosine between different images is {cosine:.4f}" if cosine > same else ""


def few_directions(row: Row, family: str) -> str:
    rank, most = row["measures"]["centred_rank"], row["measures"]["rank_limit"]
    few = max(FEW.get(family, FEW_ELSE), DECORRELATED * most if family == "non-contrastive" else 0)
    if most < ENOUGH * few or rank >= few:
        return ""
    return f"embeddings vary in about {rank:.1f} of {most:.0f} possible directions"


def one_cluster(row: Row) -> str:
    share = row["measures"].get("largest_cluster", 0.0)
    return f"{share:.0%} of the batch is nearest the same prototype" if share > ALL else ""


def exploding(row: Row, first: Row) -> str:
    length, before = row["measures"]["length"], first["measures"]["length"]
    if length > BURST * max(before, 1e-6):
        return f"embeddings have the mean length {length:.3g}, at first {before:.3g}"
    norm, before = row["gradient_norm"], first["gradient_norm"]
    if norm > BURST * max(before, 1e-6):
        return f"the gradient has the norm {norm:.3g}, at first {before:.3g}"
    return ""


def dead_memory(row: Row, rows: Sequence[Row]) -> str:
    m = row["measures"]
    if m.get("memory_cosine", 0.0) > ALIKE:
        return f"the memory's entries are alike, their mean cosine is {m['memory_cosine']:.4f}"
    before = [r for r in rows if r["epoch"] < row["epoch"]]
    if before and m.get("stand_ins", 0.0) == before[-1]["measures"].get("stand_ins") > UNFED:
        return f"{m['stand_ins']:.0%} of the memory's entries are still random, as many as an epoch before"
    return ""


def stuck(rows: Sequence[Row], first: Row, steps: int, given: bool) -> tuple[int, str] | None:
    """Since when the loss stays where a collapsed batch, or guessing, has it, if for `STUCK` of the run.

    Its mean must be `NEAR` it, and nine in ten of its values within five times that: a loss may pass by.
    """
    trivial = first["collapsed"]
    near = (NEAR_GIVEN if given else NEAR) * max(abs(trivial), abs(first["loss"] - trivial))
    window = [row for row in rows if row["step"] > rows[-1]["step"] - STUCK * steps] if rows else []
    if len(window) < LASTING or window[0] is rows[0]:
        return None
    mean = statistics.fmean(row["loss"] for row in window)
    stays = sum(abs(row["loss"] - trivial) < 5 * near for row in window) >= 0.9 * len(window)
    pulls = trivial != 0 and any(row["measures"].get("energy_share", 0.0) > NO_ENERGY for row in window)
    if not stays or pulls or abs(mean - trivial) > near:
        return None
    return window[0]["step"], f"the loss is {mean:.4f} on average, a collapsed batch has {trivial:.4f}"
