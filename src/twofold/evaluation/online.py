"""A quick score while pretraining: kNN among training images with labels. It never touches the gradients."""

import torch
from torch import Tensor, nn

from twofold.data.plan import sample
from twofold.data.sources import Source
from twofold.encoding.crops import BATCH, central_crops
from twofold.encoding.encoder import Encoder
from twofold.evaluation.knn import accuracy, knn_predict
from twofold.nets.backbone import BackboneSpec

IMAGES = 2500
"""How many images are kept: every fifth of each class is asked about, the others answer."""
BYTES = 2 << 30
"""So much memory ends it earlier, where images are large or have many channels."""


class OnlineKNN:
    """Fixed images, decoded once, with their labels: what a backbone is scored on while it learns."""

    def __init__(
        self, images: Tensor, labels: Tensor, spec: BackboneSpec, device: torch.device, precision: str
    ) -> None:
        self.images, self.labels = images.to(device), labels.to(device)
        by_class = labels.argsort(stable=True)
        self.asking = torch.zeros(len(labels), dtype=torch.bool, device=device)
        self.asking[by_class[4::5].to(device)] = True
        self.spec, self.device, self.precision = spec, device, precision

    @classmethod
    def of(cls, source: Source, spec: BackboneSpec, device: torch.device, precision: str) -> "OnlineKNN | None":
        """Of images for a backbone described by ``spec``; None if fewer than 20 have labels, or all the same."""
        if source.labels is None:
            return None
        chosen = sample(source, IMAGES)
        kept: list[Tensor] = []
        labels: list[int | None] = []
        for numbers, images in central_crops(chosen, spec.size, spec.interpolation):
            kept.append(images)
            labels += [chosen.label(number) for number in numbers]
            if sum(batch.nbytes for batch in kept) >= BYTES:
                break
        if len(labels) < 20 or len(set(labels)) < 2:
            return None
        return cls(torch.cat(kept), torch.tensor(labels), spec, device, precision)

    @property
    def asked(self) -> int:
        """How many images are asked about."""
        return int(self.asking.sum())

    def score(self, backbone: nn.Module) -> float:
        """Accuracy, 0 to 1, of a fifth of the images by their neighbours among the rest."""
        encoder = Encoder(backbone, self.spec, precision=self.precision)
        values = torch.cat([encoder(images) for images in self.images.split(BATCH)])
        predicted = knn_predict(values[~self.asking], self.labels[~self.asking], values[self.asking])
        return accuracy(predicted, self.labels[self.asking])
