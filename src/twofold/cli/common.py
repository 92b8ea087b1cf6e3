"""What the commands have in common."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from twofold.cli.words import Parser
from twofold.storage.names import clean

Command = Callable[[Sequence[str]], None]


def show(text: str) -> None:
    """Print lines, with nothing in them that would act on a terminal."""
    print("\n".join(map(clean, text.split("\n"))))


@contextmanager
def kept_when_stopped() -> Iterator[None]:
    """Have Ctrl-C in the block say that what is done is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on from what is done") from None


def parser_of(
    command: Command,
    name: str,
    *,
    run: bool = False,
    backbone: bool = False,
    device: bool = False,
) -> Parser:
    """A command's parser, its help headed by the command's docstring."""
    parser = Parser(f"twofold {name}", command.__doc__ or "")
    if run:
        parser.add_argument("run", metavar="RUN", type=Path, help="the directory of a run")
    if backbone:
        known = "the directory of a run, a file of weights, or the name of a timm model with its published weights"
        parser.add_argument("what", metavar="RUN", help=known)
        fits = "the timm model that the weights belong to, where RUN is a file of weights"
        parser.add_argument("--backbone", metavar="NAME", help=fits)
    if device:
        parser.add_argument(
            "--device", choices=("cpu", "cuda", "mps"), help="where to compute; by default on a GPU if there is one"
        )
    return parser
