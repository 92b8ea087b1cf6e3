"""Your own images and your own network, both from Python: pretrain, measure, load again.

python examples/own_data_and_backbone.py runs/own-network
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset

import twofold


class Digits(Dataset):
    """Any map-style dataset will do; an item is an image or (image, label)."""

    def __init__(self) -> None:
        self.digits = load_digits()
        self.targets = (
            self.digits.target.tolist()
        )  # read without decoding the images, as torchvision's datasets have it

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, number: int):
        return (self.digits.images[number] * 255 / 16).round().astype("uint8"), self.targets[number]


def network() -> nn.Module:
    """Any module that maps images [N, 3, H, W] to features [N, D] will do."""

    def block(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    layers = [*block(3, 32), *block(32, 64), nn.MaxPool2d(2), *block(64, 128)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def main(out: str | Path = "runs/own-network", epochs: int = 10) -> dict:
    torch.manual_seed(0)  # decides the first weights of the network
    settings = dict(epochs=epochs, batch_size=128, flip=0.0, projector=(128, 128))
    run = twofold.pretrain(Digits(), method="vicreg", backbone=network(), out=out, **settings)
    backbone = twofold.load_backbone(run)
    assert sum(p.numel() for p in backbone.parameters()) > 0
    return twofold.evaluate(run, Digits(), protocols="knn,linear")["scores"]


if __name__ == "__main__":
    for protocol, scores in main(*sys.argv[1:2]).items():
        print(protocol, {name: f"{score['value']:.1%}" for name, score in scores.items()})
