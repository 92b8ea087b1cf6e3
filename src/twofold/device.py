"""The device to compute on, the precision it is good at, and its memory."""

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import nn

from twofold import dist
from twofold.errors import UsageError

T = TypeVar("T", bound=nn.Module)


def choose(name: str | None = None) -> torch.device:
    """The device of that name, ``cpu``, ``cuda`` or ``mps``; None: a GPU if there is one.

    Raises:
        UsageError: if this machine or this build of torch has none of that kind.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        name = next(kind for kind, there in available.items() if there)
    if not available.get(name):
        raise UsageError(f"there is no {name} device here; without --device what there is is taken")
    if name == "cuda":
        torch.cuda.set_device(dist.local_rank() % torch.cuda.device_count())
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name)


def good_precision(device: torch.device) -> str:
    """``bf16`` where the device multiplies it natively, else ``fp32``."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
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


def reuse_memory() -> None:
    """Let glibc keep freed memory instead of handing it back: fresh pages cost as much as the arithmetic on them.

    Halves the time of augmentation on the CPU (`benchmarks/augment.py`). Does nothing elsewhere.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    mallopt(mmap_threshold, 32 << 20)  # the largest it takes
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 64 << 20)
