"""Threads keep the order, and do not run ahead."""

from twofold.data.parallel import AHEAD, in_order


def test_results_come_in_order_and_do_not_pile_up():
    begun = []

    def square(number):
        begun.append(number)
        return number**2

    results = in_order(square, range(1000), 3)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    results.close()
    assert len(begun) <= 5 + AHEAD * 3
    assert list(in_order(square, range(1000), 3)) == [number**2 for number in range(1000)]
    assert list(in_order(square, [], 3)) == []
