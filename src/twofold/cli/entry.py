"""The command line's entrance: which command is meant, and what its errors come to."""

import io
import os
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from twofold.cli.commands import COMMANDS
from twofold.cli.words import Parser
from twofold.errors import Collapsed, Diverged, Failed, UsageError, did_you_mean, system_words
from twofold.recipe.foreign import PERMIT, is_foreign, permit
from twofold.recipe.version import VERSION
from twofold.storage.names import clean


def main(words: Sequence[str] | None = None) -> None:
    """Run one command. Exit code 0: done; 2: wrong usage or input; 3: diverged or collapsed; 1: anything else."""
    argv = list(sys.argv[1:] if words is None else words)
    for stream in (sys.stdout, sys.stderr):  # whatever the locale, no character stops a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with an image is said as its reason
    try:
        dispatch(argv)
    except UsageError as error:
        ended(2, str(error))
    except (Diverged, Collapsed) as error:
        ended(3, str(error))
    except MemoryError as error:
        what = f" ({error})" if str(error) else ""
        ended(1, f"out of memory{what}: fewer --workers, a smaller --batch-size, --resident no")
    except Failed as error:
        ended(1, str(error))
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        ended(1, about + system_words(error))
    except KeyboardInterrupt:
        sys.exit(1)


def ended(code: int, why: str) -> NoReturn:
    """Say why in one line and exit."""
    print(f"twofold: {clean(why)}", file=sys.stderr)
    sys.exit(code)


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
            "--permit MODULE, with any command: run the code of that module which a run or a recipe file names.",
            "twofold COMMAND --help says more; twofold pretrain --method NAME --help lists that method's options.",
        ]
    )
