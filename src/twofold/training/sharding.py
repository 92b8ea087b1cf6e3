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
from twofold.methods.base import Method
from twofold.nets.layers import layers
from twofold.nets.momentum import MomentumEncoder


def shard(method: Method, on: torch.device) -> Method:
    """Cut a method's weights, in place, into one part for each process, all of which must call this.

    Returns:
        A copy for `whole`: it has the method's buffers and no weights yet.
    """
    kept = (method, *(network for network, _ in method.given().values()))
    shared = {id(t): t for network in kept for t in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(method, shared)  # of the modules alone
    for weight in method.parameters():
        weight.data = weight.data.contiguous()
    scalars = {weight for weight in method.parameters() if weight.ndim == 0}  # they cannot be cut
    mesh = init_device_mesh(on.type, (dist.world(),))
    for part in (*parts(method), method):
        fully_shard(part, mesh=mesh, ignored_params=scalars)
    for module in method.modules():
        if isinstance(module, FSDPModule) and on.type == "cpu":
            module.set_force_sum_reduction_for_comms(True)  # gloo sums, and averages nothing
    empty(twin)
    return twin


def parts(method: Method) -> list[nn.Module]:
    """The modules of a method that are whole at a time, inner ones first: blocks of the backbones, and the heads."""
    found: list[nn.Module] = []
    for child in method.children():
        backbone, *heads = child.stages if isinstance(child, MomentumEncoder) else [child]
        if isinstance(child, MomentumEncoder) or child is method.backbone:
            found += blocks(backbone)
        else:
            heads.append(backbone)
        found += [head for head in heads if next(head.parameters(), None) is not None]
    return found


def blocks(backbone: nn.Module) -> list[nn.Module]:
    """The modules inside a backbone that hold a layer each, inner ones first; not single convolutions and the like."""
    names: set[str] = set()
    for layer in layers(backbone, coarse=False):
        paths = [name.split(".")[:-1] for name in layer]
        shortest, longest = min(paths), max(paths)
        same = [a == b for a, b in zip(shortest, longest, strict=False)]
        names.add(".".join(longest[: (*same, False).index(False)]))
    found = [(name.count("."), backbone.get_submodule(name)) for name in sorted(names - {""})]
    return [module for _, module in sorted(found, key=lambda it: -it[0]) if next(module.children(), None) is not None]


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


def cut(state: dict[str, Any], like: dict[str, Tensor]) -> dict[str, Any]:
    """A state in which every tensor that is cut in ``like``, and has the same shape, is this process's part of it."""
    state.update({key: cut_as(value, like.get(key)) for key, value in state.items()})
    return state


def cut_as(value: Any, like: Tensor | None) -> Any:
    """This process's part of a whole tensor, if that is what ``like`` is a part of."""
    if not isinstance(like, DTensor) or not isinstance(value, Tensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def cut_optimizer(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of an optimizer, with whole tensors, as that of one whose weights are cut."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    of_weights = {
        number: {key: cut_as(value, weights[number] if number < len(weights) else None) for key, value in one.items()}
        for number, one in state["state"].items()
    }
    return state | {"state": of_weights}


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
