"""`python -m twofold` is `twofold`: the present folder, which may be a stranger's, is no place for modules.

What Python itself imports before this file is not in its hands: `python -P -m twofold` looks there for nothing at all.
"""

import sys

if not sys.flags.safe_path:
    del sys.path[0]

from twofold.cli.entry import main

main()
