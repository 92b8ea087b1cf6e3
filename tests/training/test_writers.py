"""Writers: what TensorBoard and Weights & Biases have is what metrics.jsonl has, also after a kill and a resume."""

import json
import os
import signal
import struct
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import twofold
from tests.conftest import resolved, tiny
from twofold.errors import UsageError
from twofold.recipe import recipe
from twofold.recipe.resolve import difference
from twofold.storage.metrics import read_metrics
from twofold.training import writers

ROOT = Path(__file__).parents[2]
RUNS = ("resumed", "later", "anew")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs with both writers, W&B offline, in processes of their own, as W&B leaves one behind until the end."""
    root = tmp_path_factory.mktemp("writers")
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "OMP_NUM_THREADS": "1"}
    with open(root / "stdout", "w+") as out, open(root / "stderr", "w+") as err:
        command = [sys.executable, "-m", "tests.training.writers_driver", root]
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=err).returncode
    assert code == 0, (root / "stderr").read_text()
    codes = json.loads((root / "stdout").read_text().splitlines()[-1])
    assert codes == {"without": [0], **{name: [-signal.SIGKILL, 0] for name in RUNS}}, (root / "stderr").read_text()
    return root


def rows_of(run):
    """metrics.jsonl as {name: {step: value}}."""
    expected = {}
    for row in read_metrics(run / "metrics.jsonl"):
        measures = {f"measures/{name}": value for name, value in row.pop("measures", {}).items()}
        for name, value in (row | measures).items():
            if name != "step":
                expected.setdefault(name, {})[row["step"]] = value
    assert sorted(expected["loss"]) == list(range(12))
    return expected


def scalars(folder):
    """{tag: [(step, value), ...]} as TensorBoard itself reads a folder."""
    board = EventAccumulator(str(folder), size_guidance={SCALARS: 0}).Reload()
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


@pytest.mark.parametrize("name", RUNS)
def test_tensorboard_has_every_step_once(name, runs):
    expected = {
        tag: [(step, float(np.float32(value))) for step, value in sorted(values.items())]
        for tag, values in rows_of(runs / name).items()
    }
    assert scalars(runs / name / "tensorboard") == expected


def test_rows_are_in_the_file_before_a_checkpoint_counts_on_them(runs):
    """The run was killed at its eighth step, checkpoints are after the third and the sixth."""
    first = min((runs / "resumed" / "tensorboard").iterdir())
    events = EventFileLoader(str(first)).Load()
    steps = [event.step for event in events if any(value.tag == "loss" for value in event.summary.value)]
    assert steps[:6] == list(range(6))


@pytest.mark.parametrize("start", [0, 6])
def test_steps_that_are_computed_again_replace_what_tensorboard_had(start, tmp_path):
    killed = writers.TensorBoard(resolved("simclr", image_size=8), tmp_path, 0)
    for step in range(9):
        killed.write({"step": step, "loss": 1.0, "gone": 1.0})
    killed.sync()  # on the disk, and never closed
    resumed = writers.TensorBoard(resolved("simclr", image_size=8), tmp_path, start)
    for step in range(start, 12):
        resumed.write({"step": step, "loss": 2.0})
    resumed.close()
    found = scalars(tmp_path / "tensorboard")
    assert found["loss"] == [(step, 1.0 if step < start else 2.0) for step in range(12)]
    assert found["gone"] == [(step, 1.0) for step in range(start)]
    killed.close()


def history(file):
    """{name: {step: value}} of an offline run's file: LevelDB's log format, of W&B's protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = file.read_bytes()
    assert content[:4] == b":W&B"
    place, parts, found = 7, b"", {}
    while place < len(content):
        left = 32768 - place % 32768
        if left < 7:  # no room for a header at the end of a block
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record.FromString(parts)
            parts = b""
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                found.setdefault(name, {})[record.history.step.num] = json.loads(item.value_json)
    return found


@pytest.mark.parametrize("name", RUNS)
def test_the_last_offline_folder_has_every_step_once(name, runs):
    """So that `wandb sync` of it gives the run; W&B would not join it with the folder of the killed attempt."""
    folders = sorted((runs / name / "wandb").glob("offline-run-*"))
    assert len(folders) == (1 if name == "later" else 2)
    identity = (runs / name / "wandb" / "id").read_text()
    assert folders[-1].name.endswith(f"-{identity}")
    same = folders[0].name.endswith(f"-{identity}")
    assert same == (name != "anew")  # a run that begins anew must not be mixed up with the killed one
    found = history(folders[-1] / f"run-{identity}.wandb")
    assert {key: value for key, value in found.items() if not key.startswith("_")} == rows_of(runs / name)


def test_without_being_asked_nothing_else_is_written(runs):
    assert not {"wandb", "tensorboard"} & {path.name for path in (runs / "without").iterdir()}


ROW = {
    "step": 3,
    "loss": 1.5,
    "epoch": 0,
    "note": "x",
    "good": True,
    "measures": {"rank": 7.0, "why": "y"},
    "none": None,
}
FLAT = {"loss": 1.5, "epoch": 0, "measures/rank": 7.0}


def test_rows_are_flattened_and_what_is_no_number_left_out(tmp_path):
    assert writers.numbers(ROW) == FLAT
    board = writers.TensorBoard(resolved("simclr", image_size=8), tmp_path, 0)
    board.write(ROW)
    board.close()
    assert scalars(tmp_path / "tensorboard") == {name: [(3, value)] for name, value in FLAT.items()}


@pytest.fixture
def stand_in(monkeypatch):
    """A module in W&B's place that records: what an account would have, twofold's tests cannot."""
    calls = types.SimpleNamespace(init=[], log=[], finished=0, has=0)

    def init(**arguments):
        calls.init.append(arguments)

        def finish():
            calls.finished += 1

        def log(data, step):
            calls.log.append((step, data))

        return types.SimpleNamespace(starting_step=calls.has, log=log, finish=finish)

    module = types.ModuleType("wandb")
    module.Error, module.Settings, module.init = type("Error", (Exception,), {}), dict, init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls, module


def test_a_resumed_run_goes_on_in_the_same_wandb_run(stand_in, tmp_path, monkeypatch):
    """W&B has six rows of a run that goes on at step 9: it gets what it lacks, and no step twice."""
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    calls, _ = stand_in
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({"step": s, "loss": s / 2}) + "\n" for s in range(9)))
    for start, calls.has in ((0, 0), (9, 6)):
        calls.log.clear()
        with writers.opened(resolved("simclr", writers="wandb", image_size=8), tmp_path, start, 12) as metrics:
            for step in range(start, 12):
                metrics.write({"step": step, "loss": step / 2})
            metrics.sync()
        assert calls.log == [(step, {"loss": step / 2}) for step in range(calls.has, 12)]
    assert calls.finished == 2
    first, second = calls.init
    assert first["id"] == second["id"]
    assert (first["resume"], first["project"], first["dir"]) == ("allow", "twofold", str(tmp_path))
    assert first["config"] == recipe.settings_of(resolved("simclr", writers="wandb", image_size=8))
    with writers.opened(resolved("simclr", writers="wandb", image_size=8), tmp_path, 12, 12):
        pass  # a finished run is told to nobody
    assert len(calls.init) == 2


def test_what_wandb_refuses_is_said_in_one_line(stand_in, tmp_path):
    _, module = stand_in

    def init(**arguments):
        raise module.Error("no API key\nis configured")

    module.init = init
    with pytest.raises(UsageError, match=r"^Weights & Biases: no API key is configured$"):
        twofold.pretrain(out=tmp_path / "run", quiet=True, writers="wandb", **tiny("simclr"))


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboard")])
def test_a_missing_package_is_said_before_anything_is_written(name, package, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, writers.TABLE[name].PACKAGE, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"pip install 'twofold\[{name}\]'"):
        twofold.pretrain(out=tmp_path / "run", quiet=True, writers=name, **tiny("simclr"))
    assert list(tmp_path.iterdir()) == []


def test_writers_may_differ_when_a_run_resumes():
    old = resolved("vicreg", epochs=5, image_size=8)
    assert difference(old, recipe.wanted("vicreg", epochs=5, writers="tensorboard")) == []
    assert writers.check(" wandb, tensorboard,wandb,") == ["wandb", "tensorboard"]
