"""A device that is not there: it computes on the CPU, refuses what mixes two devices, and counts what waits for it.

Its tensors hold values of the CPU and say that they lie on torch's device ``meta``, which has none.
"""

from collections import Counter

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ON = torch.device("meta")
aten = torch.ops.aten
COUNTED = {
    aten._local_scalar_dense.default: "item",
    aten.is_nonzero.default: "bool",
    aten.equal.default: "equal",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten._unique2.default: "unique",
    aten.bincount.default: "bincount",
    aten.repeat_interleave.Tensor: "repeat_interleave",
}
"""Operations whose result, or its size, this process has to wait for on a GPU."""
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class There(torch.Tensor):
    """A tensor on the device; ``value`` is the CPU's."""

    @staticmethod
    def __new__(cls, value):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            value.shape,
            strides=value.stride(),
            dtype=value.dtype,
            device=ON,
            storage_offset=value.storage_offset(),
        )

    def __init__(self, value):
        self.value = value

    def tolist(self):  # which torch has not for such tensors
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} without a Device")


class Device(TorchDispatchMode):
    """While it is entered, ``meta`` is a device that computes. ``waits``: what this process has waited for.

    ``sent`` and ``awaited``: copies to and from the device that nobody waits for.
    """

    def __init__(self):
        super().__init__()
        self.waits, self.sent, self.awaited = Counter(), 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, There)]
        made = not tensors and kwargs.get("device") == ON
        if function is aten._to_copy.default and kwargs.get("device"):
            return self._moved(tensors[0], kwargs)
        if function is aten.copy_.default and len(there) == 1:
            return self._copied(*args, **kwargs)
        if not there and not made:
            return function(*args, **kwargs)
        if len(there) < len([tensor for tensor in tensors if tensor.ndim or tensor.device == ON]):
            raise RuntimeError(f"{function} of tensors on two devices")
        self._count(function, args)
        if made:
            kwargs["device"] = torch.device("cpu")
        known = {id(tensor.value): tensor for tensor in there}
        inner = tree_map(lambda leaf: leaf.value if isinstance(leaf, There) else leaf, (list(args), kwargs))
        results = function(*inner[0], **inner[1])

        def outer(leaf):
            if not isinstance(leaf, torch.Tensor):
                return leaf
            return known[id(leaf)] if id(leaf) in known else There(leaf)

        return tree_map(outer, results)

    def _count(self, function, args):
        if function in COUNTED:
            self.waits[COUNTED[function]] += 1
        elif function in INDEXED and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
            self.waits["boolean index"] += 1

    def _moved(self, tensor, kwargs):
        to, free = kwargs.pop("device"), kwargs.pop("non_blocking", False)
        here = tensor.value if isinstance(tensor, There) else tensor
        if isinstance(tensor, There) and to != ON:
            self._download(free)
            return aten._to_copy.default(here, **kwargs)
        if not isinstance(tensor, There) and to == ON:
            self._upload(free)
        return There(aten._to_copy.default(here, **kwargs)) if to == ON else aten._to_copy.default(here, **kwargs)

    def _copied(self, target, source, free=False, **kwargs):
        if isinstance(target, There):
            self._upload(free)
            target.value.copy_(source)
        else:
            self._download(free)
            target.copy_(source.value)
        return target

    def _upload(self, free):
        self.sent += free
        self.waits["copy to the device"] += not free

    def _download(self, free):
        self.awaited += free
        self.waits["copy from the device"] += not free


def moved(module):
    """The module, its weights and buffers now on the device, within a `Device`."""
    known = {}
    for part in module.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                if id(weight) not in known:
                    known[id(weight)] = nn.Parameter(There(weight.data), weight.requires_grad)
                part._parameters[name] = known[id(weight)]
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = There(buffer)
    return module
