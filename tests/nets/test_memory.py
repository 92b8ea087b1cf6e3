"""The queue and the bank."""

import torch

from twofold.nets.memory import Bank, Queue


def test_a_queue_keeps_the_newest():
    queue = Queue(5, 2)
    queue.enqueue(torch.tensor([[1.0, 1], [2, 2], [3, 3]]))
    before = queue.rows
    assert queue.age.tolist() == [0, 0, 0, -1, -1]
    assert torch.equal(queue.filled, before[:3])
    queue.enqueue(torch.tensor([[4.0, 4], [5, 5], [6, 6]]))
    assert queue.rows[:, 0].tolist() == [4, 5, 6, 1, 2]
    assert queue.age.tolist() == [0, 0, 0, 1, 1]
    assert before[:3, 0].tolist() == [1, 2, 3]  # what a loss was computed of has not changed
    queue.enqueue(torch.arange(7.0)[:, None].expand(7, 2))
    assert queue.rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    none = Queue(0, 2)
    none.enqueue(torch.ones(3, 2))
    assert len(none.rows) == 0


def test_a_bank_averages_each_image_alone():
    """m = 0.5 on unit vectors; what is seen for the first time is taken as it is (arXiv 1912.01991, section 3.2)."""
    bank = Bank(4, 2)
    strangers = bank.rows[[0, 3]].clone()
    index, first, second = torch.tensor([2, 1]), torch.tensor([[3.0, 0], [0, 2]]), torch.tensor([[0.0, 5], [0, 1]])
    assert torch.equal(bank.read(index, first), torch.tensor([[1.0, 0], [0, 1]]))
    bank.update(index, first, 0.5)
    assert torch.equal(bank.rows[index], torch.tensor([[1.0, 0], [0, 1]]))
    bank.update(index, second, 0.5)
    torch.testing.assert_close(bank.rows[index], torch.tensor([[0.5**0.5, 0.5**0.5], [0, 1]]))
    assert torch.equal(bank.rows[[0, 3]], strangers)
    bank.update(torch.tensor([3]), torch.tensor([[1.0, 1]]), 0.5)
    assert bank.age.tolist() == [-1, 1, 1, 0]
    numbers, rows = bank.draw(torch.tensor([0.0, 0.3, 0.99, 1.0]))
    assert numbers.tolist() == [0, 1, 3, 3]
    assert torch.equal(rows, bank.rows[numbers])


def test_in_eval_mode_nothing_is_remembered():
    queue, bank = Queue(6, 3).eval(), Bank(5, 3).eval()
    before = [{name: rows.clone() for name, rows in memory.state_dict().items()} for memory in (queue, bank)]
    queue.enqueue(torch.randn(4, 3))
    bank.update(torch.tensor([1, 3]), torch.randn(2, 3), 0.5)
    for memory, had in zip((queue, bank), before, strict=True):
        assert all(torch.equal(rows, had[name]) for name, rows in memory.state_dict().items())
    queue.train().enqueue(torch.ones(4, 3))
    assert len(queue.filled) == 4


def test_in_eval_mode_a_bank_takes_no_image_for_one_of_its_own():
    """Validation images have numbers of their own, also beyond those of the bank."""
    bank, images = Bank(4, 3), torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    bank.update(torch.arange(2), -images, 0.5)
    bank.eval()
    for index in ([0, 1], [7, 8]):
        torch.testing.assert_close(bank.read(torch.tensor(index), images), torch.nn.functional.normalize(images))
