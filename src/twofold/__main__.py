"""`python -m twofold` is `twofold`."""

from twofold.cli.commands import main

main()
