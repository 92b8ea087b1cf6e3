"""What is remembered of past batches: a queue of embeddings, a bank with one entry an image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Queue(nn.Module):
    """The last ``length`` embeddings, newest first: [length, width]. Random ones stand in until they are replaced.

    ``age``: steps since each was taken; -1 of a stand-in.
    """

    rows: Tensor
    age: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.randn(length, width))
        self.register_buffer("age", torch.full((length,), -1))
        self._counted: tuple[Tensor, int, int] | None = None

    @property
    def filled(self) -> Tensor:
        """The rows that are no stand-ins, which are the last ones. They are counted once, then known from what came."""
        known = self._counted
        if known is None or known[0] is not self.age or known[1] != self.age._version:
            self._counted = known = self.age, self.age._version, int((self.age >= 0).sum())
        return self.rows[: known[2]]

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor) -> None:
        """Let new embeddings [n, width] in, and as many of the oldest out; in eval mode nothing changes.

        The rows become another tensor: a loss that was computed of the old ones can still be differentiated.
        """
        if self.training and (length := len(self.rows)):
            count = min(length, len(self.filled) + len(embeddings))
            self.rows = torch.cat([embeddings.detach().to(self.rows.dtype), self.rows])[:length]
            new = torch.zeros(len(embeddings), dtype=torch.long, device=self.age.device)
            self.age = torch.cat([new, older(self.age)])[:length]
            self._counted = self.age, self.age._version, count


class Bank(nn.Module):
    """A moving average of each image's embedding, unit vectors: [images, width].

    Until an image is seen for the first time a random vector stands in for it. ``age``: steps since it was last seen;
    -1 of a stand-in.
    """

    rows: Tensor
    age: Tensor

    def __init__(self, images: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(images, width)))
        self.register_buffer("age", torch.full((images,), -1))

    @torch.no_grad()
    def read(self, index: Tensor, embeddings: Tensor) -> Tensor:
        """The images' entries; of those that have none yet, and of all in eval mode, their present embeddings.

        In eval mode images are others than those of the bank, though they may have the same numbers.
        """
        new = F.normalize(embeddings.detach().to(self.rows.dtype))
        if not self.training:
            return new
        return torch.where((self.age[index] >= 0)[:, None], self.rows[index], new)

    @torch.no_grad()
    def update(self, index: Tensor, embeddings: Tensor, momentum: float) -> None:
        """entry <- momentum * entry + (1 - momentum) * embedding, scaled to length 1 before and after.

        In eval mode nothing changes.
        """
        if not self.training:
            return
        new = F.normalize(embeddings.detach().to(self.rows.dtype))
        self.rows[index] = F.normalize(momentum * self.read(index, new) + (1 - momentum) * new)
        self.age = older(self.age).index_fill(0, index, 0)

    def draw(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers and the entries of images drawn with repetition; ``draws``: [k], 0 to 1."""
        numbers = (draws * len(self.rows)).long().clamp_max(len(self.rows) - 1)
        return numbers, self.rows[numbers]


def older(age: Tensor) -> Tensor:
    """Ages a step later."""
    return torch.where(age < 0, age, age + 1)
