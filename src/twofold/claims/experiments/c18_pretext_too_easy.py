"""A pretext task teaches little where it is too easy or too hard.

claim     A task made up from the image itself teaches only as far as it asks for what is in the image. Jigsaw with two
          orders is solved by a glance, with a thousand it is hardly learned; between them features are best.
setup     Jigsaw with 2, 10, 100 and 1,000 orders of the nine tiles, and rotation by four turns, each for the same
          number of steps. How much of the task's trivial loss is gone at the end, and what the features are worth.
refuted   if two orders, or a thousand, give features as good as ten or a hundred do; or if two orders are solved no
          better than a thousand.
note      In so few steps even ten orders are hardly learned, so most of this shows the hard end only. On digits of 8
          pixels there are no nine tiles.
"""

import statistics
from functools import partial

from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Settings, Stage
from twofold.methods.base import Method, Output

STEPS, BATCH = 150, 64
LAST = 20
"""steps at the end whose losses are averaged"""
ORDERS = (2, 10, 100, 1000)


def run(stage: Stage) -> Measured:
    found: Measured = {"solved": {}, "few": {"untrained": stage.few(stage.backbone())}, "linear": {}}
    found["linear"]["untrained"] = stage.linear(stage.backbone())
    tasks: dict[str, Settings] = {f"{count} orders": dict(permutations=count) for count in ORDERS}
    for arm, options in {**tasks, "rotation": {}}.items():
        losses, method = list[float](), stage.method("jigsaw" if options else "rotation", **options)
        stage.train(arm, method, STEPS, batch=BATCH, watch=partial(look, losses), views=dict(jitter=0.0))
        found["solved"][arm] = solved(losses, method)
        found["few"][arm] = stage.few(method.backbone)
        found["linear"][arm] = stage.linear(method.backbone)
    for name in ("few", "linear"):
        found[name]["best of 10 and 100"] = max(found[name]["10 orders"], found[name]["100 orders"])
    return found


def look(losses: list[float], _: int, output: Output) -> None:
    losses.append(float(output.loss.detach()))


def solved(losses: list[float], method: Method) -> float:
    """The share in percent of the loss without any knowledge that is gone at the end."""
    return 100 * (1 - statistics.fmean(losses[-LAST:]) / method.collapsed_loss(BATCH))


CLAIM = Claim(
    18,
    __doc__,
    run,
    measures={
        "solved": "solved: % of the trivial loss that is gone at the end",
        "few": "accuracy from few labels: %, a linear head, five labels a class",
        "linear": "accuracy from all labels: %, a linear head",
    },
    expected=[
        Expected("solved", "2 orders", "1000 orders", 20.0),
        Expected("few", "best of 10 and 100", "2 orders", 1.0),
        Expected("few", "best of 10 and 100", "1000 orders", 1.0),
    ],
    photographs=True,
)
