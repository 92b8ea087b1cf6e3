"""The same loop under Lightning Fabric, which chooses devices, processes and precision.

python examples/fabric.py
"""

import torch
from lightning_fabric import Fabric
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import twofold


def main(backbone: str = "test_resnet", epochs: int = 2, batch_size: int = 128) -> list[float]:
    fabric = Fabric(accelerator="auto", devices=1)
    fabric.launch()
    grey = torch.tensor(load_digits().images * 255 / 16).round().byte()
    data = TensorDataset(grey[:, None].expand(-1, 3, -1, -1))
    loader = fabric.setup_dataloaders(DataLoader(data, batch_size, shuffle=True, drop_last=True))

    method = twofold.create_method("byol", backbone, size=8, projector=(128, 64), predictor=(128, 64))
    views = twofold.create_views(method, flip=0.0)
    model, optimizer = fabric.setup(method, torch.optim.AdamW(method.parameters(), lr=1e-3))

    steps, losses = epochs * len(loader), []
    for epoch in range(epochs):
        for number, (images,) in enumerate(loader):
            progress = (epoch * len(loader) + number) / steps
            output = model(views(images), progress=progress)
            fabric.backward(output.loss)
            optimizer.step()
            optimizer.zero_grad()
            method.after_step(progress)  # BYOL's momentum encoder follows
            losses.append(output.loss.item())
    return losses


if __name__ == "__main__":
    losses = main()
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f} in {len(losses)} steps")
