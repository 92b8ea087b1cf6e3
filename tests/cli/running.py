"""A command in this process."""

from twofold import cli


def twofold(capsys, *words):
    """Exit code, stdout and stderr of one command, in this process."""
    code = 0
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        code = end.code or 0
    said = capsys.readouterr()
    return code, said.out, said.err
