"""A method cut into one part for each process: weights, gradients and the optimizer's state, by torch's FSDP2.

Each process keeps its rows of every weight. A part of the network is whole only while it is passed, forwards or
backwards; its gradient is averaged over the processes and cut at once. What is computed is what whole weights would
give. What is no weight (norm statistics, memories, centers, a teacher) stays whole on every process.

Every function here that says so must be called by all processes at the same steps.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_leaves, tree_map

from twofold import dist
from twofold.errors import UsageError
from twofold.methods.base import Method
from twofold.nets.layers import layers
from twofold.nets.momentum import MomentumEncoder
from twofold.recipe.general import Recipe


def check(settings: Recipe) -> None:
    """
    Raises:
        UsageError: if ``shard`` is not the same on all processes, or does not go with other settings.
    """
    dist.same(f"shard {str(settings.shard).lower()}", "all processes must be given the same command")
    if settings.shard and settings.chunk:
        raise UsageError(
            f"shard true does not go with chunk {settings.chunk}, whose second pass needs whole weights: set --chunk 0 "
            "or --shard false"
        )


def notes(settings: Recipe, method: Method) -> list[str]:
    """What ``shard`` does to a run, in words."""
    if not settings.shard:
        return []
    if dist.world() == 1:
        return ["shard true has no effect: there is only one process (torchrun starts several)"]
    weights = list(method.parameters())
    own = sum(local(weight).numel() for weight in weights) / 1e6
    every = sum(weight.numel() for weight in weights) / 1e6
    return [
        f"shard true: this process keeps {own:.1f} of {every:.1f} million weights, those of a momentum encoder included"
    ]


def shard(method: Method, on: torch.device) -> Method:
    """Cut a method's weights, in place, into one part for each process, all of which must call this.

    Returns:
        A copy for `whole`: it has the method's buffers and no weights yet.

    Raises:
        UsageError: if two parts of the network share a weight.
    """
    kept = (method, *(network for network, _ in method.given().values()))
    shared = {id(t): t for network in kept for t in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(method, shared)  # of the modules alone
    for weight in method.parameters():
        weight.data = weight.data.contiguous()
    scalars = {weight for weight in method.parameters() if weight.ndim == 0}  # they cannot be cut
    found = parts(method)
    inside = {module for part in found for module in part.modules()}
    rest = {weight for m in method.modules() if m not in inside for weight in m.parameters(recurse=False)}
    held = [weight for part in found for weight in part.parameters()] + list(rest)
    if len(set(held)) < len(held):
        raise UsageError("two parts of the network share a weight, which cannot be cut then: set --shard false")
    mesh = init_device_mesh(on.type, (dist.world(),))
    for part in (*found, method):
        fully_shard(part, mesh=mesh, ignored_params=scalars)
    for module in method.modules():
        if isinstance(module, FSDPModule) and on.type == "cpu":
            module.set_force_sum_reduction_for_comms(True)  # gloo sums, and averages nothing
    empty(twin)
    return twin


def parts(method: Method) -> list[nn.Module]:
    """The modules that are whole at a time: blocks of the backbones, and the heads. What is left is one part more."""
    sides = [child for child in method.children() if isinstance(child, MomentumEncoder)]
    backbones = [method.backbone, *(side.stages[0] for side in sides)]
    heads = [child for child in method.children() if child is not method.backbone and child not in sides]
    heads += [head for side in sides for head in side.stages[1:]]
    found = [block for backbone in backbones for block in blocks(backbone)]
    for head in heads:
        found += outermost(head)
    return [part for part in found if next(part.parameters(), None) is not None]


def outermost(module: nn.Module) -> list[nn.Module]:
    """A module, or the outermost ones inside it that are called."""
    return [module] if called(module) else [part for child in module.children() for part in outermost(child)]


def called(module: nn.Module) -> bool:
    """Whether a module is called itself; a list of modules only holds them."""
    return type(module).forward is not nn.Module.forward


def blocks(backbone: nn.Module) -> list[nn.Module]:
    """The largest modules inside a backbone that have weights of one layer alone; no single convolutions and the like.

    Of blocks in a sequence each is one, also where the sequence is a layer: a backbone may call them one by one.
    """
    layer_of = {name: number for number, names in enumerate(layers(backbone, coarse=False)) for name in names}

    def inside(module: nn.Module, path: str) -> Iterator[nn.Module]:
        for name, child in module.named_children():
            own = {layer_of.get(f"{path}{name}.{weight}") for weight, _ in child.named_parameters()}
            composed = any(next(part.children(), None) is not None for part in child.children())
            sequence = composed and isinstance(child, nn.Sequential)
            if len(own) > 1 or (own and (sequence or not called(child))):
                yield from inside(child, f"{path}{name}.")
            elif own and next(child.children(), None) is not None:
                yield child

    return list(inside(backbone, ""))


def local(tensor: Tensor) -> Tensor:
    """What this process keeps of a tensor: its part of one that is cut, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gathered(state: Any, on: torch.device | None = None) -> Any:
    """A state with every tensor that is cut whole on the first process; the others have None in its place.

    All processes must call this, unless nothing is cut.

    Args:
        on: where whole tensors are kept, one after the other; None: on the device that they lie on.
    """

    def full(value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        found = value.full_tensor()
        return found.to(on or found.device) if dist.rank() == 0 else None

    some_cut = any(isinstance(leaf, DTensor) for leaf in tree_leaves(state))
    return tree_map(full, state) if some_cut else state


def as_weights_lie(state: dict[str, Any], method: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The whole tensors of a checkpoint's ``method`` and ``optimizer``, as the weights lie in this process.

    A tensor becomes this process's part of it where the weights are cut. What the optimizer keeps of a weight gets the
    weight's order of channels in memory, which may have been another one where the checkpoint was written.
    """
    own, whole_method = method.state_dict(), copy.copy(state["method"])  # with torch's own notes on it
    whole_method.update({key: as_lies(value, own.get(key)) for key, value in whole_method.items()})
    weights = dict(enumerate(weight for group in optimizer.param_groups for weight in group["params"]))
    kept = state["optimizer"]["state"].items()
    return {
        "method": whole_method,
        "optimizer": state["optimizer"]
        | {"state": {n: {key: as_lies(value, weights.get(n)) for key, value in of.items()} for n, of in kept}},
    }


def as_lies(value: Any, weight: Tensor | None) -> Any:
    """A whole tensor as a weight of its shape lies in this process; anything else as it is."""
    if weight is None or not isinstance(value, Tensor) or value.shape != weight.shape:
        return value
    if not isinstance(weight, DTensor) and value.stride() == weight.stride():
        return value
    if isinstance(weight, DTensor):
        part = distribute_tensor(value.contiguous(), weight.device_mesh, weight.placements, src_data_rank=None)
        return part.clone()  # not a view of the whole, which would stay in memory
    return torch.empty_like(weight, dtype=value.dtype, device=value.device).copy_(value)


@contextmanager
def whole(method: Method, twin: Method) -> Iterator[None]:
    """Inside the block the first process's ``twin``, which `shard` gave, has the method's weights and buffers.

    All processes must enter it, unless the method is not cut and its own twin.
    """
    if method is not twin:
        state = gathered(method.state_dict())
        if dist.rank() == 0:
            twin.load_state_dict(state, assign=True)
    try:
        yield
    finally:
        if method is not twin:
            empty(twin)


def empty(network: nn.Module) -> None:
    """Let go of a network's weights; their names and shapes stay."""
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(weight.to("meta"), weight.requires_grad))
