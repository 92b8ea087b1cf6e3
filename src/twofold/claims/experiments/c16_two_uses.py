"""Features as they are suffice for few labels, while fine-tuning wins with many.

claim     A pretrained backbone is used in two ways: its features go into a linear head as they are, or all of its
          weights learn from the labels. With few labels the features as they are do as well; with many, fine-tuning
          does better. Either way pretraining beats a random start.
setup     SimCLR without labels, then from it, with five labels a class (three draws of them) and with all: a linear
          head on the features as they are; the backbone and a head trained together; the same from first weights.
refuted   if with all labels fine-tuning is no better than the features as they are, with few labels it is better by
          more than a point, or a random start does as well as the pretrained backbone.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold import probes, rng, schedule
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import FEATURES, Stage, order

STEPS, BATCH = 150, 128
LABELS, DRAWS = 5, 3
RATES = 1e-3, 5e-3
"""of the backbone and of the head"""


def run(stage: Stage) -> Measured:
    pretrained = stage.train("simclr", stage.method("simclr", projector=(128, 64)), STEPS).backbone
    starts = {"fine-tuned": pretrained, "from scratch": stage.backbone()}
    everything, few = torch.arange(len(stage.labels)), [drawn(stage, draw) for draw in range(DRAWS)]
    train, labels, test, test_labels = stage.split(pretrained)
    heads = [probes.linear(train[chosen], labels[chosen], test, test_labels, 10.0).value for chosen in few]
    found: Measured = {
        "few": {"as they are": 100 * sum(heads) / DRAWS},
        "all": {"as they are": stage.linear(pretrained)},
    }
    for arm, network in starts.items():
        found["few"][arm] = sum(tuned(stage, network, chosen) for chosen in few) / DRAWS
        found["all"][arm] = tuned(stage, network, everything)
    return found


def drawn(stage: Stage, draw: int) -> Tensor:
    """Numbers of `LABELS` training images of each class."""
    chance = torch.randperm(len(stage.labels), generator=rng.generator(stage.seed, "labels", draw))
    return torch.cat([chance[stage.labels[chance] == label][:LABELS] for label in stage.labels.unique()])


def tuned(stage: Stage, network: nn.Module, chosen: Tensor) -> float:
    """Accuracy in percent of a copy of the network and a head, trained together on the chosen images' labels."""
    classes, steps = int(stage.labels.max()) + 1, stage.override or STEPS * stage.length
    own, head = copy.deepcopy(network).train(), stage.first("head", lambda: nn.Linear(FEATURES, classes))
    see, size = stage.views(jitter=0.0, grayscale=0.0), min(BATCH, len(chosen))
    groups = [{"params": part.parameters(), "rate": rate} for part, rate in zip((own, head), RATES, strict=True)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    for step, places in enumerate(order(stage.seed, len(chosen), steps * size).split(size)):
        for group in optimizer.param_groups:
            group["lr"] = schedule.warmup_cosine(group["rate"], step, steps, steps // 10)
        images = chosen[places]
        view = see(stage.images[images], index=images).views[0]
        optimizer.zero_grad()
        F.cross_entropy(head(own(view.images)), stage.labels[images]).backward()
        optimizer.step()
    answers = stage.features(nn.Sequential(own, head), test=True).argmax(1)
    return 100 * float((answers == stage.test_labels).float().mean())


CLAIM = Claim(
    16,
    __doc__,
    run,
    measures={
        "few": "accuracy from few labels: %, five labels a class",
        "all": "accuracy from all labels: %",
    },
    expected=[
        Expected("all", "fine-tuned", "as they are", 1.0),
        Expected("few", "as they are", "fine-tuned", -1.0),
        Expected("all", "fine-tuned", "from scratch", 1.0),
        Expected("few", "fine-tuned", "from scratch", 1.0),
    ],
)
