"""A signal becomes a question that the loop asks."""

import os
import signal
import threading

import pytest

from twofold.training.interrupt import Interrupt


@pytest.mark.parametrize("number", Interrupt.SIGNALS)
def test_the_first_signal_asks_and_handlers_come_back(number):
    before = [signal.getsignal(each) for each in Interrupt.SIGNALS]
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), number)
        assert interrupt.asked
    assert [signal.getsignal(each) for each in Interrupt.SIGNALS] == before


def test_a_second_one_ends_the_block():
    def asked_twice():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupt.asked
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        asked_twice()


def test_a_thread_may_train_too():
    """Where Python allows no handlers, nothing is asked and nothing fails."""
    found = []

    def work():
        with Interrupt() as interrupt:
            found.append(interrupt.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
