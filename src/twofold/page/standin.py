"""k-means until `twofold.evaluation.clusters` has it."""

import torch
from jaxtyping import Float, Int
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor


def kmeans(values: Float[Tensor, "n d"], count: int, seed: int) -> Int[Tensor, " n"]:
    """The number of each row's cluster, 0 to ``count`` - 1."""
    model = MiniBatchKMeans(count, n_init=3, random_state=seed, batch_size=4096)
    return torch.from_numpy(model.fit_predict(values.numpy())).long()
