"""One step of training: forward and backward through all of its micro-batches."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from twofold import device, dist
from twofold.batch import Batch
from twofold.data.plan import Crops
from twofold.methods.base import Method, Output


@dataclass
class Learned:
    """One step: its terms and the norm of its gradient, which whoever reads them first waits for.

    ``output``: of its last micro-batch; ``waited``: seconds, for images.
    """

    names: list[str]
    values: device.Awaited
    output: Output
    waited: float

    @cached_property
    def terms(self) -> dict[str, float]:
        return dict(zip(self.names, self.values.numbers()[:-1], strict=True))

    @cached_property
    def gradient_norm(self) -> float:
        return self.values.numbers()[-1]

    @property
    def loss(self) -> float:
        return sum(self.terms.values())


def learn(
    method: Method,
    optimizer: torch.optim.Optimizer,
    crops: Iterator[Crops],
    prepare: Callable[[Crops], Batch],
    *,
    accumulate: int,
    grad_clip: float,
    clip_each: bool = False,
    precision: str,
    progress: float,
) -> Learned:
    """Forward and backward through ``accumulate`` micro-batches; the gradient, clipped, is left for the optimizer.

    Args:
        crops: the loader's, of which the next ``accumulate`` are taken.
        grad_clip: the largest norm of the gradient, or with ``clip_each`` of each parameter's; 0: any.
        prepare: makes of crops the batch that a method gets.
        progress: the share of the run that is done, 0 to 1.
    """
    optimizer.zero_grad()
    terms: dict[str, Tensor] = {}
    waited = 0.0
    for _ in range(accumulate):
        asked = time.monotonic()
        part = next(crops)
        waited += time.monotonic() - asked
        batch = prepare(part)
        with device.autocast(batch.views[0].images.device, precision):
            output = method(batch, progress)
        (output.loss / accumulate).backward()
        for name, term in output.terms.items():
            terms[name] = terms.get(name, 0) + term.detach() / accumulate
    dist.average_gradients(p for p in method.parameters() if not isinstance(p, DTensor))  # those have been averaged
    norm = nn.utils.get_total_norm([p.grad for p in method.parameters() if p.grad is not None])
    if grad_clip and clip_each:
        for parameter in method.parameters():
            nn.utils.clip_grad_norm_(parameter, grad_clip)
    elif grad_clip:
        nn.utils.clip_grads_with_norm_(method.parameters(), grad_clip, norm)
    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
    numbers = torch.stack([*terms.values(), norm.to(next(iter(terms.values())).dtype)])
    return Learned(list(terms), device.Awaited(numbers), output, waited)
