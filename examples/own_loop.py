"""One method in a loop of your own: VICReg on scanned digits, and what its features are worth.

python examples/own_loop.py
"""

import sys

import torch
from sklearn.datasets import load_digits

import twofold
from twofold import probes


def main(backbone: str = "resnet18", epochs: int = 10, batch_size: int = 128) -> tuple[float, float]:
    digits = load_digits()
    grey = torch.tensor(digits.images * 255 / 16).round().byte()
    images = grey[:, None].expand(-1, 3, -1, -1)  # uint8 [1797, 3, 8, 8]
    test = torch.arange(len(images)) % 5 == 4
    train = images[~test]

    torch.manual_seed(0)
    method = twofold.create_method("vicreg", backbone, size=8, projector=(256, 256))
    views = twofold.create_views(method, flip=0.0)  # a digit's mirror image is no digit
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)

    def accuracy() -> float:
        features = twofold.features(method.backbone, images, size=8)
        return probes.knn(features[~test], digits.target[~test], features[test], digits.target[test]).value

    untrained = accuracy()
    steps = epochs * (len(train) // batch_size)
    for step in range(steps):
        chosen = torch.randint(len(train), (batch_size,))
        output = method(views(train[chosen]), progress=step / steps)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step / steps)
    return untrained, accuracy()


if __name__ == "__main__":
    untrained, pretrained = main(*sys.argv[1:2])
    print(f"kNN accuracy: untrained {untrained:.1%}, pretrained {pretrained:.1%}")
