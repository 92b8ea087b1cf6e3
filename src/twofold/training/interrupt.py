"""Ctrl-C, SIGTERM and SIGHUP: they end the preparation of a run at once, and its training between two steps."""

import signal
import threading
from types import FrameType
from typing import Any, Self

from torch.distributed import is_torchelastic_launched


class Interrupt:
    """Inside the block, the first signal is a KeyboardInterrupt; after `between_steps` it only sets ``asked``.

    A second one acts as it would have without the block. Under torchrun it is part of the same request: torchrun passes
    on what Slurm or a terminal has told all processes already, and itself ends those that take too long. SIGHUP, the
    end of the terminal, is a signal like the others, unless it is ignored, as ``nohup`` has it.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.asked = False
        self._waits, self._passed_on = False, is_torchelastic_launched()
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
        again, self.asked = self.asked, True
        if not self._passed_on:
            signal.signal(number, self._before[signal.Signals(number)])
        elif again:
            return
        if not self._waits:
            raise KeyboardInterrupt
