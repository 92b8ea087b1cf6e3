"""`python -m twofold` is `twofold`."""

from twofold.cli.entry import main

main()
