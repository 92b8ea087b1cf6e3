"""A batch in chunks: the gradient of the whole, nothing counted twice, and the memory of a chunk."""

import pytest
import torch
from torch import nn

from tests.networks import three_layers
from twofold.nets.chunks import Chunked, in_chunks, set_chunk


def of_the_whole(network, rows, size):
    """A loss that compares all rows with each other, and the gradients of weights and rows."""
    weights = list(network.parameters())
    features = in_chunks(network, (rows,), size, network, weights)
    gram = features @ features.T
    loss = (gram.square().mean(1) + features.square().sum(1)).log().mean()
    asked = [*weights, *([rows] if rows.requires_grad else [])]
    return loss, torch.autograd.grad(loss, asked), features


def layered():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 5)).double()


@pytest.mark.parametrize("size", [1, 4, 7, 10])
@pytest.mark.parametrize("follow", [False, True])
def test_the_gradient_is_that_of_the_whole(size, follow):
    rows = torch.randn(10, 3, 2, 2, dtype=torch.float64, requires_grad=follow)
    network = layered()
    loss, gradients, _ = of_the_whole(network, rows, None)
    again, found, features = of_the_whole(network, rows, size)
    torch.testing.assert_close(again, loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-14)
    assert all(g.abs().max() > 1e-6 for g in gradients)
    assert features.requires_grad


def test_chunks_are_of_one_size():
    """No chunk is left with a single image, of which a batch norm could take no variance."""
    seen = []

    def network(rows):
        seen.append(len(rows))
        return rows * 2

    in_chunks(network, (torch.zeros(9, 2),), 4)
    assert seen == [3, 3, 3]


def test_rows_that_are_none_stay_none_and_frozen_weights_get_nothing():
    linear = nn.Linear(3, 2).requires_grad_(False)
    bias = nn.Parameter(torch.zeros(2))

    def network(rows, more, shift):
        assert more is None
        return linear(rows) + bias + shift

    rows, shift = torch.randn(6, 3), torch.randn(6, 2)
    features = in_chunks(network, (rows, None, shift), 2, linear, [*linear.parameters(), bias])
    torch.testing.assert_close(features, linear(rows) + bias + shift)
    features.sum().backward()
    assert bias.grad.tolist() == [6.0, 6.0]
    assert linear.weight.grad is None
    frozen = in_chunks(network, (rows, None, shift), 2, linear, linear.parameters())
    assert not frozen.requires_grad


def test_weights_with_the_same_gradient_have_one_each():
    one, two = (nn.Parameter(torch.zeros(2, 3)) for _ in "12")
    in_chunks(lambda rows: rows + one + two, (torch.zeros(6, 3),), 2, None, [one, two]).sum().backward()
    assert one.grad.tolist() == two.grad.tolist() == [[3.0] * 3] * 2


def test_a_batch_norm_sees_each_chunk_once():
    """Its statistics are what passing the chunks one after the other leaves, and its gradient is that of doing so."""
    torch.manual_seed(0)
    one, two = three_layers().double().train(), three_layers().double().train()
    two.load_state_dict(one.state_dict())
    rows = torch.randn(12, 3, 8, 8, dtype=torch.float64)
    features = in_chunks(one, (rows,), 4, one, one.parameters())
    plain = torch.cat([two(part) for part in rows.split(4)])
    for each in (features, plain):
        (each @ each.T).logsumexp(1).mean().backward()
    assert one[1].num_batches_tracked == 3
    for (name, mine), theirs in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
    for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-14)
    assert all(buffer is found for buffer, found in zip(one.buffers(), dict(one.named_buffers()).values(), strict=True))


def test_kept_statistics_are_exact_and_stay():
    network = three_layers().double().eval()
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 2)
    rows = torch.randn(9, 3, 8, 8, dtype=torch.float64)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    _, gradients, _ = of_the_whole(network, rows, None)
    _, found, _ = of_the_whole(network, rows, 4)
    torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-14)
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())


def test_what_is_dropped_is_the_same_in_both_passes():
    """The gradient of a linear layer after dropout says which inputs were seen: those of the features that came out."""
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 1, bias=False))
    rows = torch.rand(8, 6) + 1
    torch.manual_seed(3)
    features = in_chunks(network, (rows,), 2, network, network.parameters())
    after = torch.rand(4)
    features.sum().backward()
    torch.testing.assert_close(network[1].weight.grad @ network[1].weight.T, features.sum().detach().view(1, 1))
    torch.manual_seed(3)
    plain = torch.cat([network(part) for part in rows.split(2)])
    assert torch.equal(plain, features)
    assert torch.equal(torch.rand(4), after)  # the second pass has drawn nothing of what comes after it


def test_a_network_that_remembers_is_passed_from_the_same_state():
    """A module whose output depends on its buffer computes in the second pass what it computed in the first."""

    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))
            self.register_buffer("seen", torch.tensor(1.0))

        def forward(self, rows):
            out = rows * self.weight * self.seen.item()
            self.seen += 1
            return out

    network = Remembers()
    features = in_chunks(network, (torch.ones(6, 1),), 2, network, network.parameters())
    assert features.flatten().tolist() == [2, 2, 4, 4, 6, 6]
    features.sum().backward()
    assert network.weight.grad == 2 * (1 + 2 + 3)
    assert network.seen == 4


def test_autocast_is_that_of_the_first_pass():
    """The backward pass is called outside, and weights that were lowered without a graph are not taken for others."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    rows = torch.randn(8, 16)
    gradients = []
    for size in (None, 4):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            features = in_chunks(network, (rows,), size, network, network.parameters())
            direct = network(rows[:2])
        assert features.dtype == torch.bfloat16
        (features.float().square().mean() + direct.float().square().mean()).backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    torch.testing.assert_close(*gradients, rtol=2e-2, atol=1e-3)  # bf16 rounds to 1 in 256
    with torch.autocast("cpu", torch.bfloat16):
        in_chunks(network, (rows,), 4, network, network.parameters())
        after = network(rows)
    after.float().sum().backward()
    assert network[0].weight.grad.abs().max() > 0


def test_the_graph_keeps_the_rows_and_no_activation():
    """What is kept for the backward pass does not grow with the depth of the network."""

    def kept(size, depth):
        network = nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), nn.Tanh()) for _ in range(depth)))
        numbers = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: numbers.append(t.numel()) or t, lambda t: t):
            in_chunks(network, (torch.randn(64, 32),), size, network, network.parameters())
        return sum(numbers) - sum(p.numel() for p in network.parameters())

    assert kept(8, 2) == kept(8, 6) == 64 * 32
    assert kept(None, 6) > 6 * 64 * 32


def test_a_chunk_is_for_all_that_can():
    class Part(nn.Module, Chunked):
        pass

    whole = Part()
    whole.inner, whole.other = nn.Sequential(Part()), nn.Linear(1, 1)
    set_chunk(whole, 5)
    assert (whole.chunk, whole.inner[0].chunk) == (5, 5)
    assert not hasattr(whole.other, "chunk")
    set_chunk(whole, None)
    assert whole.inner[0].chunk is None
