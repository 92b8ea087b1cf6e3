"""SwAV's clusters match classes, and few labels name them.

claim     Clusters that SwAV finds without labels are nearly classes, so a label or two in each of them name it.
setup     SwAV with 30 prototypes; each held-out image belongs to its nearest one, and one or five labelled training
          images of a cluster, drawn ten times, name it by majority. Beside that k-means with 30 clusters on the
          pixels and on the untrained network's features, named the same way.
refuted   if the prototypes match the classes no better than clusters of the pixels, or their names are not right more
          often.
"""

import torch
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn

from twofold import rng
from twofold.claims.base import Claim, Expected, Measured
from twofold.claims.stage import Stage
from twofold.methods.base import unit

STEPS = 200
PROTOTYPES = 30
DRAWS = 10


def run(stage: Stage) -> Measured:
    method = stage.train("swav", stage.method("swav", projector=(128, 64), prototypes=PROTOTYPES), STEPS)
    scores = nn.Sequential(stage.projected(method), method.get_submodule("prototypes"))
    groups = {"prototypes": [stage.features(scores, part).argmax(1) for part in (False, True)]}
    for arm, network in {"untrained": stage.backbone(), "pixels": nn.Flatten()}.items():
        train, test = (unit(stage.features(network, part)).numpy() for part in (False, True))
        means = KMeans(PROTOTYPES, n_init=3, random_state=stage.seed).fit(train)
        groups[f"k-means, {arm}"] = [torch.from_numpy(means.predict(rows)).long() for rows in (train, test)]
    return {
        "nmi": {arm: normalized_mutual_info_score(stage.test_labels, test) for arm, (_, test) in groups.items()},
        "one": {arm: named(stage, train, test, 1) for arm, (train, test) in groups.items()},
        "five": {arm: named(stage, train, test, 5) for arm, (train, test) in groups.items()},
    }


def named(stage: Stage, train: Tensor, test: Tensor, labels: int) -> float:
    """The share in percent of held-out images whose cluster has their name, a mean over draws of the labelled ones."""
    right = []
    for draw in range(DRAWS):
        order = torch.randperm(len(train), generator=rng.generator(stage.seed, "names", draw))
        names = torch.full((PROTOTYPES,), -1)
        for cluster in train.unique().tolist():
            few = stage.labels[order[train[order] == cluster][:labels]]
            names[cluster] = few.mode().values
        right.append(float((names[test] == stage.test_labels).float().mean()))
    return 100 * sum(right) / DRAWS


CLAIM = Claim(
    9,
    __doc__,
    run,
    measures={
        "nmi": "match with the classes: normalised mutual information, 0 to 1",
        "one": "right names from one label a cluster: % of held-out images",
        "five": "right names from five labels a cluster: % of held-out images",
    },
    expected=[
        Expected("nmi", "prototypes", "k-means, pixels", 0.02),
        Expected("nmi", "prototypes", "k-means, untrained", 0.02),
        Expected("one", "prototypes", "k-means, pixels", 2.0),
        Expected("five", "prototypes", "k-means, pixels", 2.0),
    ],
)
