"""The command line's entrance: which command is meant, and what its errors come to."""

import atexit
import gc
import io
import logging
import os
import re
import select
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from twofold.cli.commands import COMMANDS, SHARED
from twofold.cli.words import Parser
from twofold.errors import Collapsed, Diverged, Failed, UsageError, did_you_mean, system_words
from twofold.recipe.foreign import PERMIT, is_foreign, permit
from twofold.recipe.version import VERSION
from twofold.storage.names import clean


def main(words: Sequence[str] | None = None) -> None:
    """Run one command. Exit code 0: done; 2: wrong usage or input; 3: diverged or collapsed; 1: anything else."""
    atexit.register(gc.freeze)  # the last collection would look at every object that torch and timm have made: a second
    argv = list(sys.argv[1:] if words is None else words)
    for stream in (sys.stdout, sys.stderr):  # whatever the locale, no character stops a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with an image is said as its reason
    code, why = outcome(argv, begin)
    if why:
        say(why)
    if code:
        settle()
        sys.exit(code)


def begin(argv: list[str]) -> None:
    """Carry out a command, as one of several processes if this is one, and show all that it says."""
    (one_of_several if several() else dispatch)(argv)
    if sys.stdout is not None:
        sys.stdout.flush()


def settle() -> None:
    """Drop what can no longer be shown, as where the terminal was closed: Python's own exit code for that is 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # as it is where the descriptor was closed before Python began
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_shown() -> bool:
    """Whether somebody still reads what is shown, as far as that can be told."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return not any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError):  # it is no file
        return True


def several() -> bool:
    """Whether this is one of several processes of a launch; schedulers may leave its variables empty.

    Raises:
        UsageError: if the environment does not say how many there are.
    """
    size = os.environ.get("WORLD_SIZE") or "1"
    if not os.environ.get("RANK"):
        return False
    if not size.isdecimal():
        raise UsageError(f"WORLD_SIZE must be how many processes there are, not {size}")
    return int(size) > 1


def outcome(argv: list[str], carry_out: Callable[[list[str]], None]) -> tuple[int, str]:
    """Carry out one command; its exit code and, where it ended early, why, in one line."""
    try:
        carry_out(argv)
    except UsageError as error:
        return 2, str(error)
    except (Diverged, Collapsed) as error:
        return 3, str(error)
    except MemoryError as error:
        what = f" ({error})" if str(error) else ""
        return 1, f"out of memory{what}"
    except Failed as error:
        return 1, str(error)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported for this
            raise
        return 1, "the GPU is out of memory: if another program uses it, end that or give --device cpu"
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not _is_shown():  # whoever read it has seen enough
            return 1, ""
        about = f"{error.filename}: " if error.filename else ""
        return 1, about + system_words(error)
    except KeyboardInterrupt as stopped:
        return 1, str(stopped)
    return 0, ""


def one_of_several(argv: list[str]) -> None:
    """Carry out a command as one of the processes of a launch. What it says, one of them says."""
    from twofold import dist, launch

    def told(argv: list[str]) -> None:
        with launch.processes():  # they are joined below; here they are told of an error
            dispatch(argv)

    with launch.processes():
        if dist.rank() > 0:
            sys.stdout = io.StringIO()
            logging.getLogger("twofold").setLevel(logging.ERROR)
        code, why = outcome(argv, told)
        if why and launch.first_to_say():
            say(why)
    sys.exit(code)


def say(why: str) -> None:
    """Say in one line why a command ends early."""
    print(f"twofold: {clean(why)}", file=sys.stderr, flush=True)


def dispatch(argv: list[str]) -> None:
    """Parse a line of words and call what it names."""
    common = Parser("twofold", add_help=False)
    common.add_argument("--permit", action="append", default=[])
    known, argv = common.parse_known_args(argv)
    permit(name.strip() for names in known.permit for name in names.split(","))
    if (os.environ.get(PERMIT) or names_parts(argv)) and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where package.module:name is looked for last, and nothing else ever
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
    elif argv[0] == "--version":
        print(VERSION)
    elif argv[0] not in COMMANDS:
        raise UsageError(f"there is no command {argv[0]!r}{did_you_mean(argv[0], COMMANDS)} (twofold --help)")
    else:
        if argv[0] not in SHARED and several():
            raise UsageError(f"twofold {argv[0]} is work for one process: give it without torchrun")
        COMMANDS[argv[0]](argv[1:])


def names_parts(argv: Iterable[str]) -> bool:
    """Whether a command names a part by ``package.module:name``."""
    return any(is_foreign(part) for word in argv for part in re.split("[=,]", word))


def overview() -> str:
    rows = [f"  {name:10}{(function.__doc__ or '').splitlines()[0]}" for name, function in COMMANDS.items()]
    return "\n".join(
        [
            "usage: twofold COMMAND ...",
            "",
            "Learn image representations without labels, measure them, use them.",
            "",
            *rows,
            "",
            "With any command, --permit MODULE lets the code of that module run where a run or a recipe file names it.",
            "twofold COMMAND --help says more; twofold pretrain --method NAME --help lists that method's options.",
        ]
    )
