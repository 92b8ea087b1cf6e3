"""What a run tells while it goes on: its metrics, its yardsticks, the doctor's findings, the progress bar."""

import math
import statistics
import time
from contextlib import ExitStack, nullcontext
from typing import Any, NoReturn, Self

import torch
from torch import nn

from twofold import device, dist
from twofold.data.loader import Streamed
from twofold.diagnosis.doctor import Finding
from twofold.diagnosis.live import Watch, due
from twofold.errors import Diverged
from twofold.evaluation.online import OnlineKNN
from twofold.evaluation.titles import BEGINNINGS
from twofold.methods.base import Output
from twofold.methods.building import fresh_backbone
from twofold.storage import files
from twofold.storage.metrics import Row, first_metrics
from twofold.training import sharding, writers
from twofold.training.log import Bar, Log, duration, status
from twofold.training.opened import OpenRun
from twofold.training.step import Learned

ESTIMATED = 4
"""steps of a process after which it says how long the others may take; the first one, which warms up, does not count"""


class Journal:
    """Describes steps; only the process that writes measures and writes anything."""

    def __init__(self, opened: OpenRun, log: Log) -> None:
        self.opened, self.log, self._held = opened, log, ExitStack()
        s, run, start = opened.settings, opened.run, opened.start
        self.began = time.monotonic()
        self.beginnings: dict[str, float] = {}
        self.score: float | None = None
        self._metrics = self._knn = self._watch = None
        if opened.main:
            self._metrics = self._held.enter_context(writers.opened(s, run.path, start, opened.steps))
            self._watch = Watch(s, opened.steps, opened.plan.steps_per_epoch, run.metrics if start else [])
            if s.knn_every:
                self._knn = OnlineKNN.of(opened.source, opened.spec, opened.device, s.precision)
            if start:
                first = first_metrics(run.path / "metrics.jsonl")
                self.beginnings = {who: first[f"knn_{who}"] for who in BEGINNINGS if f"knn_{who}" in first}
        if s.knn_every and not start:
            with opened.whole() as method:
                self.beginnings = self._scores_before(self._knn, method.backbone) if self._knn else {}
        self._took: list[float] = []
        self._late = device.overlaps(opened.device) and dist.world() == 1  # several must stop at the same step
        self._untold: tuple[int, Learned, float, float] | None = None
        self._bar = self._held.enter_context(Bar(log.console, opened.steps, start))

    def _scores_before(self, knn: OnlineKNN, network: nn.Module) -> dict[str, float]:
        """The yardsticks of a run that begins: kNN of the untrained backbone and, if there are any, of the weights."""
        o = self.opened
        if not o.settings.weights:
            return {"untrained": knn.score(network)}
        fresh = device.place(fresh_backbone(o.spec, o.settings.seed), o.device, next(network.parameters()).dtype)
        return {"untrained": knn.score(fresh), "start": knn.score(network)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._held.__exit__(*exception)
        images, path = self.opened.images, self.opened.run.path
        if isinstance(images, Streamed) and images.unreadable:
            left_out = f"{images.unreadable} of {len(images)} images could not be read, and others stood in for them"
            self.log.say(f"{left_out} ({path}/log.txt names them)")

    @property
    def seconds(self) -> float:
        """What the run has taken so far, over all that went before."""
        return self.opened.seconds + time.monotonic() - self.began

    def sync(self) -> None:
        """Have every line on the disk, before a checkpoint that counts on them.

        Raises:
            Diverged: as `check_finite`.
        """
        self._catch_up()
        if self._metrics:
            self._metrics.sync()

    def tell(self, step: int, learned: Learned, lr: float, took: float) -> list[Finding]:
        """Write and show what there is to say of a step; findings of the doctor's that are new.

        While the device computes on, that is said a step late, unless the step is measured.

        Args:
            took: seconds that the step took, before what is measured here.

        Raises:
            Diverged: as `check_finite`.
        """
        self._catch_up()
        self._untold = (step, learned, lr, took)
        if self._late and not self._measured(step):
            return []
        return self._catch_up()

    def _measured(self, step: int) -> bool:
        """Whether there may be more to say of a step than its terms, which needs the method as it is after it.

        The answer is the same on all processes.
        """
        o = self.opened
        return self._scored(step) or due(o.settings, step, o.steps) or step + 1 == o.steps

    def _scored(self, step: int) -> bool:
        """Whether kNN follows a step, if images have labels."""
        if not self.opened.settings.knn_every:
            return False
        done, epoch = step + 1, self.opened.plan.steps_per_epoch
        ends = done % epoch == 0 and done // epoch % self.opened.settings.knn_every == 0
        return ends or done == self.opened.steps

    def _catch_up(self) -> list[Finding]:
        """Write and show what is due of the last step."""
        if self._untold is None:
            return []
        (step, learned, lr, took), self._untold = self._untold, None
        self._finite(step, learned)
        o, s = self.opened, self.opened.settings
        done, epoch = step + 1, step // o.plan.steps_per_epoch
        row: dict[str, Any] = {"step": step, "epoch": epoch, "loss": learned.loss, **learned.terms, "lr": lr}
        row["gradient_norm"] = learned.gradient_norm
        if step == 0:
            row |= {"steps": o.steps, "collapsed": o.collapsed_loss, **o.alarm}
            row |= {f"knn_{who}": score for who, score in self.beginnings.items()}
            row |= {"knn_asked": self._knn.asked} if self._knn else {}
        findings = self._measure(step, row, learned.output)
        for finding in findings:
            self.log.say(finding.sentence)
        speed = {"images_per_second": round(o.plan.batch / took, 1), "waiting": round(learned.waited / took, 3)}
        if self._metrics:
            self._metrics.write(row | speed)
        self._estimate(done, took)
        left = (time.monotonic() - self.began) / (done - o.start) * (o.steps - done)
        yardsticks = {"collapsed": o.collapsed_loss, "knn": self.score, **self.beginnings}
        shown = status(learned.loss, learned.terms, yardsticks, speed)
        self._bar.update(done, f"epoch {epoch + 1}/{s.epochs}", shown, left)
        return findings

    def _measure(self, step: int, row: Row, output: Output) -> list[Finding]:
        """Measure a step, if it is its turn; the results go into its row, and findings that are new come back."""
        o = self.opened
        with o.whole() if self._measured(step) else nullcontext(o.twin) as method:
            if self._knn and self._scored(step):
                row["knn"] = self.score = self._knn.score(o.run.result(method, o.settings))
            return self._watch.look(row, method, output) if self._watch else []

    def _estimate(self, done: int, took: float) -> None:
        """Say once, after a few steps, how long the others may take."""
        o = self.opened
        if len(self._took) < ESTIMATED < o.steps - o.start:
            self._took.append(took)
            if len(self._took) == ESTIMATED:
                left = duration(statistics.median(self._took[1:]) * (o.steps - done))
                self.log.say(f"about {left} to go, an estimate from {ESTIMATED} of {o.steps} steps")

    def check_finite(self, step: int, learned: Learned) -> None:
        """Before a step changes the weights; while the device computes on, what was learned in the step before it.

        Raises:
            Diverged: if the loss or its gradient is no longer finite; failure.pt then holds the step, with the weights
                as they are now.
        """
        if not self._late:
            self._finite(step, learned)
        elif self._untold:
            self._finite(*self._untold[:2])

    def check_weights(self, step: int, learned: Learned) -> None:
        """After the last step, since no later loss follows that would not be finite.

        Raises:
            Diverged: if a weight is not finite, or so large that its square is not; as `check_finite`.
        """
        self._catch_up()
        weights = map(sharding.local, self.opened.method.parameters())
        finite = all(bool(weight.detach().float().square().isfinite().all()) for weight in weights)
        if dist.any_process(self.opened.device, not finite)[0]:
            self._fail(step, learned, f"weights are too large for finite features after step {step}")

    def _finite(self, step: int, learned: Learned) -> None:
        if math.isfinite(learned.loss + learned.gradient_norm):
            return
        failure = f"the loss is {learned.loss} and the norm of its gradient {learned.gradient_norm} at step {step}"
        self._fail(step, learned, failure)

    def _fail(self, step: int, learned: Learned, failure: str) -> NoReturn:
        o = self.opened
        path = o.run.path / "failure.pt"
        weights = sharding.gathered(o.method.state_dict(), torch.device("cpu"))
        if o.main:
            state: dict[str, Any] = {"step": step, "failure": failure, "terms": learned.terms}
            files.save(path, state | {"index": o.plan.indices(step), "method": weights})
            self.log.say(f"{failure}, {learned.terms}", quiet=True)
        advice = "try a lower --lr or --grad-clip 1"
        if step == 0 and not math.isfinite(learned.loss):  # nothing has been learned yet
            mean, std = ([f"{value:.3g}" for value in values] for values in (o.settings.mean, o.settings.std))
            advice = f"look at the images: their channels have the means {', '.join(mean)}, deviations {', '.join(std)}"
        raise Diverged(f"{failure}; {path} holds its terms, weights and images' numbers; {advice}")
