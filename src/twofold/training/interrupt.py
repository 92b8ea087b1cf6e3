"""Ctrl-C, SIGTERM and SIGHUP: they end the preparation of a run at once, and its training between two steps."""

import signal
import threading
import time
from types import FrameType
from typing import Any, Self

TOGETHER = 1.0
"""Signals within so many seconds of the first are one request: Slurm asks every process, and torchrun asks its own."""


class Interrupt:
    """Inside the block, the first signal is a KeyboardInterrupt; after `between_steps` it only sets ``asked``.

    A second one, later than `TOGETHER`, acts as it would have without the block. SIGHUP, the end of the terminal, is a
    signal like the others, unless it is ignored, as ``nohup`` has it.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.asked = False
        self._waits, self._first = False, 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            for number in self.SIGNALS:
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def between_steps(self) -> None:
        """From now on a signal is a question that the loop asks, so that no step is cut in two.

        Raises:
            KeyboardInterrupt: if one came before, and was lost where exceptions are, as in a finaliser.
        """
        self._waits = True
        if self.asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self._first = True, now
            if not self._waits:
                raise KeyboardInterrupt
        elif now - self._first > TOGETHER:
            signal.signal(number, self._before[signal.Signals(number)])
            signal.raise_signal(number)
