"""What is remembered of past batches: a queue of embeddings, a bank with one entry an image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Queue(nn.Module):
    """The last ``length`` embeddings, newest first: [length, width]. Random ones stand in until they are replaced."""

    rows: Tensor
    taken: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.randn(length, width))
        self.register_buffer("taken", torch.zeros((), dtype=torch.long))

    @property
    def filled(self) -> Tensor:
        """The rows that are no stand-ins."""
        return self.rows[: int(self.taken)]

    @torch.no_grad()
    def take(self, embeddings: Tensor) -> None:
        """Let new embeddings [n, width] in, and as many of the oldest out.

        The rows become another tensor: a loss that was computed of the old ones can still be differentiated.
        """
        if length := len(self.rows):
            self.rows = torch.cat([embeddings.detach().to(self.rows.dtype), self.rows])[:length]
            self.taken = (self.taken + len(embeddings)).clamp_max(length)


class Bank(nn.Module):
    """A moving average of each image's embedding, unit vectors: [images, width].

    Until an image is seen for the first time a random vector stands in for it.
    """

    rows: Tensor
    seen: Tensor

    def __init__(self, images: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(images, width)))
        self.register_buffer("seen", torch.zeros(images, dtype=torch.bool))

    @torch.no_grad()
    def read(self, index: Tensor, embeddings: Tensor) -> Tensor:
        """The images' entries; of those that have none yet, their present embeddings."""
        new = F.normalize(embeddings.detach().to(self.rows.dtype))
        return torch.where(self.seen[index][:, None], self.rows[index], new)

    @torch.no_grad()
    def follow(self, index: Tensor, embeddings: Tensor, momentum: float) -> None:
        """entry <- momentum * entry + (1 - momentum) * embedding, scaled to length 1 before and after."""
        new = F.normalize(embeddings.detach().to(self.rows.dtype))
        self.rows[index] = F.normalize(momentum * self.read(index, new) + (1 - momentum) * new)
        self.seen[index] = True

    def draw(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers and the entries of images drawn with repetition; ``draws``: [k], 0 to 1."""
        numbers = (draws * len(self.rows)).long().clamp_max(len(self.rows) - 1)
        return numbers, self.rows[numbers]
