"""The two ways a command ends early for a reason the user can act on."""


class UsageError(Exception):
    """Wrong usage or unusable input: one line for the user, exit code 2."""


class Diverged(Exception):
    """The run was stopped because its loss is no longer a number: exit code 3."""
