"""Several processes of a launch, as forks of one that has imported everything, and has computed nothing yet."""

import contextlib
import io
import multiprocessing
import os
import pickle
import socket
import sys
import traceback

import torch

PATIENCE = 240
"""seconds after which processes that should have ended are taken to hang"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def together(world, work, *args):
    """Have each of so many processes do its work; exit codes and what each one gave, by rank.

    Code 0: done, or the one of a SystemExit; 99: a process hung, and was killed. Any other exception is raised here.
    """
    context, port = multiprocessing.get_context("forkserver"), free_port()
    context.set_forkserver_preload(
        ["tests.conftest", "twofold.training.loop", "twofold.outputs.embed", "sklearn.datasets"]
    )
    pipes = [context.Pipe(duplex=False) for _ in range(world)]
    started = [
        context.Process(target=_begin, args=(rank, world, port, give, work, args))
        for rank, (_, give) in enumerate(pipes)
    ]
    for process, (_, give) in zip(started, pipes, strict=True):
        process.start()
        give.close()
    codes, found = [], []
    for process, (take, _) in zip(started, pipes, strict=True):
        try:
            found.append(pickle.loads(take.recv_bytes()) if take.poll(PATIENCE) else None)
        except EOFError:
            found.append(None)
        process.join(PATIENCE)
        codes.append(99 if process.is_alive() else process.exitcode)
        if process.is_alive():
            process.kill()
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return codes, found


def _begin(rank, world, port, give, work, args):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    code = 0
    try:
        give.send_bytes(pickle.dumps(work(*args)))
    except SystemExit as end:
        code = end.code or 0
    except BaseException as error:
        traceback.print_exc()
        give.send_bytes(pickle.dumps(error))
        code = 98
    give.close()
    os._exit(code)


def command(words, prepare=None, *args):
    """One command in this process of a launch: its exit code, what it says at its end, and its results.

    ``prepare(rank, *args)`` is called before it, as to go to a folder; what it gives is added to the words.
    """
    from twofold import cli

    added = prepare(int(os.environ["RANK"]), *args) if prepare else None
    code, said, results = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(results):
        try:
            cli.main([str(word) for word in [*words, *(added or [])]])
        except SystemExit as end:
            code = end.code or 0
    lines = said.getvalue().splitlines()
    if any("Traceback" in line for line in lines):
        sys.__stderr__.write(said.getvalue())
        lines.append("Traceback")
    return code, [line for line in lines if line.startswith(("twofold: ", "Traceback"))], results.getvalue()


def commanded(world, *args):
    """A `command` in so many processes: the codes, all that they said at the end, all results, in order of rank."""
    codes, found = together(world, command, *args)
    assert codes == [0] * world
    said = [line for _, lines, _ in found for line in lines]
    return [code for code, _, _ in found], said, [results for _, _, results in found if results]


def compare(some, others):
    """The same tensors by the same names, but for rounding."""
    assert some.keys() == others.keys()
    for key, value in others.items():
        torch.testing.assert_close(some[key], value, rtol=1e-6, atol=1e-9)
