"""Two processes under DistributedDataParallel: the losses see the images of both, and the gradient is that of one.

torchrun --nproc-per-node 2 examples/ddp.py
"""

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel

import twofold
from twofold.nets.synchronised import synchronise


def main() -> None:
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    losses = learn()
    if dist.get_rank() == 0:
        print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f} with {dist.get_world_size()} processes")
    dist.destroy_process_group()  # after the model has gone: one that outlives its process group can hang at its end


def learn(backbone: str = "test_resnet", steps: int = 30, batch_size: int = 128) -> list[float]:
    device = torch.device("cuda", dist.get_rank()) if torch.cuda.is_available() else torch.device("cpu")
    grey = torch.tensor(load_digits().images * 255 / 16).round().byte()
    images = grey[:, None].expand(-1, 3, -1, -1).to(device)

    method = twofold.create_method("simclr", backbone, size=8, projector=(128, 64)).to(device)
    views = twofold.create_views(method, flip=0.0)  # the method's own crops and colours
    method = synchronise(method)  # batch norms take the statistics of all processes, on CPUs too
    # SwAV and DINO freeze their prototypes at first: those two need find_unused_parameters=True.
    model = DistributedDataParallel(method)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)

    share = batch_size // dist.get_world_size()
    losses = []
    for step in range(steps):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(step))[:batch_size]
        mine = order.chunk(dist.get_world_size())[dist.get_rank()]
        assert len(mine) == share
        output = model(views(images[mine]), progress=step / steps)
        output.loss.backward()  # DistributedDataParallel averages the gradients
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step / steps)
        losses.append(output.loss.item())
    return losses


if __name__ == "__main__":
    main()
