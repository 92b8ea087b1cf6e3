"""Frozen features in scikit-learn: any backbone, any classifier.

python examples/sklearn_features.py                         # an untrained timm network
python examples/sklearn_features.py runs/cats               # a run of twofold's
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import twofold


def main(what: str | None = None) -> float:
    digits = load_digits()
    images = torch.tensor(digits.images * 255 / 16).round().byte()[:, None].expand(-1, 3, -1, -1)
    if what is None:
        method = twofold.create_method("simclr", "test_resnet", size=8)
        features = twofold.features(method.backbone, images, size=8).numpy()
    else:
        features = twofold.features(what, images).numpy()
    test = torch.arange(len(images)) % 5 == 4
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(features[~test], digits.target[~test])
    return classifier.score(features[test], digits.target[test])


if __name__ == "__main__":
    print(f"accuracy on held-out digits: {main(*sys.argv[1:2]):.1%}")
