"""The device to compute on, the precision it is good at, and its memory."""

import ctypes
import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

from twofold import launch
from twofold.errors import UsageError

ALIGNED = 16
"""Tensors that share memory begin at a multiple of so many bytes."""

T = TypeVar("T", bound=nn.Module)


def choose(name: str | torch.device | None = None) -> torch.device:
    """The device of that name, ``cpu``, ``cuda`` or ``mps``; None: a GPU if there is one.

    Raises:
        UsageError: if this machine or this build of torch has none of that kind.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        name = next(kind for kind, there in available.items() if there)
    name = str(name)
    if not available.get(name):
        raise UsageError(f"there is no {name} device here; without --device another one is chosen")
    if name == "cuda":
        torch.cuda.set_device(launch.local_rank() % torch.cuda.device_count())
        torch.backends.cudnn.benchmark = True  # batches of one shape follow one another
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name)


def good_precision(device: torch.device) -> str:
    """``bf16`` where the device multiplies it natively, else ``fp32``; also on the CPU of a torch that cannot tell."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 is the first that has it
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Run networks in bf16 inside the block, if the precision says so."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def layout(module: nn.Module, device: torch.device) -> torch.memory_format:
    """How images lie in memory: channels innermost, which convolutions are fastest with, where that is safe.

    On the CPU the gradient of a strided 1x1 convolution of under 16 channels then writes past a workspace (oneDNN
    issue 6035; seen here with torch 2.12.1 as "double free or corruption").
    """
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    strided = [c for c in convolutions if c.kernel_size == (1, 1) and max(c.stride) > 1]
    unsafe = device.type == "cpu" and any(c.in_channels // c.groups < 16 for c in strided)
    return torch.contiguous_format if unsafe else torch.channels_last


def place(module: T, device: torch.device, dtype: torch.dtype = torch.float32) -> T:
    """The module on a device, its weights laid out like its images."""
    return module.to(device, dtype).to(memory_format=layout(module, device))  # type: ignore[call-overload,no-any-return]


def overlaps(device: torch.device) -> bool:
    """Whether the device computes while this process goes on, so that waiting for it costs time."""
    return device.type == "cuda"


def send(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors of the CPU on a device, in one copy that is not waited for; on the CPU themselves."""
    if device.type == "cpu":
        return list(tensors)
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    rooms = [math.ceil(size / ALIGNED) * ALIGNED for size in sizes]
    packed = torch.empty(sum(rooms), dtype=torch.uint8, pin_memory=device.type == "cuda")
    for tensor, part, size in zip(tensors, packed.split(rooms), sizes, strict=True):
        part[:size].view(tensor.dtype).view(tensor.shape).copy_(tensor)
    parts = packed.to(device, non_blocking=overlaps(device)).split(rooms)
    return [
        part[:size].view(tensor.dtype).view(tensor.shape)
        for tensor, part, size in zip(tensors, parts, sizes, strict=True)
    ]


class Awaited:
    """Numbers on their way from a device: the copy is ordered when this is made, `numbers` waits for its end."""

    def __init__(self, values: Tensor) -> None:
        """``values``: one dimension, on any device."""
        self._there = None
        self._values = values.detach().to("cpu", non_blocking=overlaps(values.device))  # pinned memory, if it is so
        if values.is_cuda:
            self._there = torch.cuda.Event()
            self._there.record()

    def numbers(self) -> list[float]:
        if self._there is not None:
            self._there.synchronize()
        found: list[float] = self._values.tolist()
        return found


def reuse_memory() -> None:
    """Let glibc keep freed memory instead of handing it back: fresh pages cost as much as the arithmetic on them.

    Halves the time of augmentation on the CPU (`benchmarks/augment.py`), and that of a network without gradients, whose
    activations are freed at once. Does nothing elsewhere.
    """
    if libc := glibc():
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        libc.mallopt(mmap_max, 0)  # blocks of any size come from the heap, which is kept
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 64 << 20)


def return_memory() -> None:
    """Let glibc hand back what is free, as a process should that waits for others. Does nothing elsewhere."""
    if libc := glibc():
        libc.malloc_trim(0)


def glibc() -> ctypes.CDLL | None:
    """The GNU C library, if this process runs with it."""
    try:
        libc = ctypes.CDLL("libc.so.6") if sys.platform == "linux" else None
        return libc if hasattr(libc, "malloc_trim") else None
    except OSError:
        return None
