"""Data in a store and on the web, by real servers on this machine: the same images, and what goes wrong in a line."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

import twofold
from tests.cli.running import twofold as command
from tests.conftest import encoded, picture
from tests.data.making import fill, parquet, tar
from twofold.augment import Views
from twofold.data import remote
from twofold.data.loader import Streamed
from twofold.data.names import PACKAGES, is_remote
from twofold.data.opening import open_data
from twofold.data.plan import MicroBatch, Plan
from twofold.data.remote import Remote
from twofold.errors import Failed
from twofold.recipe.foreign import NETWORK


@pytest.fixture(scope="module")
def server():
    """An S3 server; its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(server, monkeypatch, tmp_path):
    """A function that puts a folder into a bucket of its own, and gives its address."""
    import boto3
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TWOFOLD_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    bucket = f"bucket-{len(client.list_buckets()['Buckets'])}"
    client.create_bucket(Bucket=bucket)

    def put(folder):
        for path in folder.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), bucket, str(path.relative_to(folder.parent)))
        return f"s3://{bucket}/{folder.name}"

    yield put
    client.close()


def same(one, other):
    assert len(one) == len(other)
    assert (one.classes, list(one.labels or [])) == (other.classes, list(other.labels or []))
    for number in range(len(one)):
        assert np.array_equal(one.image(number), other.image(number))
        assert one.name(number) == other.name(number)


def test_packed_shards_in_a_store(tmp_path, store):
    fill(tmp_path / "photos", [f"train/{kind}/{number}.png" for kind in ("ant", "bee") for number in range(6)])
    fill(tmp_path / "photos", [f"test/{kind}/{number}.jpg" for kind in ("ant", "bee") for number in range(2)])
    twofold.pack(tmp_path / "photos", tmp_path / "shards")
    address = store(tmp_path / "shards")
    here, there = open_data(tmp_path / "shards"), open_data(address)
    same(here.train, there.train)
    same(here.test, there.test)
    assert there.train.fingerprint() == open_data(address).train.fingerprint()
    one = open_data(f"{address}/train-{{000000..000000}}.tar")
    same(here.train, one.train)
    parts = [MicroBatch(step, slice(0, 4)) for step in range(3)]
    plan, views = Plan(12, 4, 0), Views(16)
    loaded = [
        list(Streamed(source, torch.device("cpu"), workers, 0.0, print).load(plan, views, parts))
        for source, workers in ((here.train, 0), (there.train, 2))
    ]
    for expected, found in zip(*loaded, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected.crops, found.crops, strict=True))


def test_shards_of_others_are_looked_through_once(tmp_path, store, monkeypatch):
    (tmp_path / "shards").mkdir()
    images = {f"{kind}/{number}.png": encoded(picture(16, 16, number)) for kind in "xy" for number in range(5)}
    tar(tmp_path / "shards" / "a.tar", images)
    address = store(tmp_path / "shards")
    same(open_data(tmp_path / "shards").train, open_data(address).train)
    assert len(list((tmp_path / "cache" / "listings").iterdir())) == 1
    monkeypatch.setattr("twofold.data.shards.tarfile.open", None)
    assert len(open_data(address).train) == 10
    monkeypatch.undo()


def test_parquet_in_a_store(tmp_path, store):
    (tmp_path / "tables").mkdir()
    for number in range(2):
        parquet(tmp_path / "tables" / f"train-{number}.parquet", 5, start=5 * number)
    parquet(tmp_path / "tables" / "test-0.parquet", 3)
    here, there = open_data(tmp_path / "tables"), open_data(store(tmp_path / "tables"))
    same(here.train, there.train)
    same(here.test, there.test)


def test_what_a_store_lacks_is_one_line(tmp_path, store, capsys, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no image")
    address = store(tmp_path / "other")
    for name, said in (
        (address, f"there are no .tar and no .parquet files in {address}"),
        (f"{address}/gone.tar", f"there is no {address}/gone.tar"),
        ("s3://no-such-bucket-here/a.tar", "there is no s3://no-such-bucket-here/a.tar"),
        (
            "https://127.0.0.1:9/folder",
            "https://127.0.0.1:9/folder is no .tar or .parquet file; of a folder on the web, name the files",
        ),
        ("http://127.0.0.1:9/a.tar", "http://127.0.0.1:9/a.tar cannot be reached: "),
    ):
        code, _, err = command(capsys, "scan", name)
        assert (code, err.count("\n"), err.startswith(f"twofold: {said}")) == (2, 1, True), err


def test_a_missing_package_is_said(monkeypatch, capsys):
    def missing(protocol):
        raise ImportError("no such package")

    monkeypatch.setattr("fsspec.filesystem", missing)
    for protocol, package in PACKAGES.items():
        code, _, err = command(capsys, "scan", f"{protocol}://somewhere/a.tar")
        assert code == 2
        assert err == f"twofold: {protocol}:// needs one more package: pip install {package}\n"


def test_every_address_is_of_the_network():
    """So that a recipe that names it does not reach it."""
    for protocol in PACKAGES:
        assert is_remote(f"{protocol}://x")
        assert f"{protocol}://x".startswith(NETWORK)
    for name in ("hf:owner/name", "s3:/a", "s3", "file:///etc/passwd", "simplecache::s3://a", "photos"):
        assert not is_remote(name)


@pytest.fixture
def web(tmp_path):
    """A web server of a folder: its address, and how it behaves: how often it hangs up, whether it gives ranges."""

    class Behaviour:
        broken, ranges = 0, True

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            if Behaviour.broken:
                Behaviour.broken -= 1
                self.close_connection = True
                return
            self.answer(body=True)

        def answer(self, body):
            path = tmp_path / "web" / self.path.rpartition("/")[2]
            if not path.is_file():
                self.send_error(404)
                return
            content, asked = path.read_bytes(), self.headers.get("Range")
            if asked and Behaviour.ranges:
                first, last = asked.removeprefix("bytes=").split("-")
                self.send_response(206)
                whole, content = len(content), content[int(first) : int(last) + 1]
                self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            if Behaviour.ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if body:
                self.wfile.write(content)

    (tmp_path / "web").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", Behaviour
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_web_is_read_by_ranges_and_tried_again(tmp_path, web, monkeypatch):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    address, behaviour = web
    images = {f"{kind}/{number}.png": encoded(picture(16, 16, number)) for kind in "xy" for number in range(3)}
    for number in range(2):
        tar(tmp_path / "web" / f"{number}.tar", images)
    source = open_data(f"{address}/{{0..1}}.tar").train
    same(open_data(f"{tmp_path}/web/{{0..1}}.tar").train, source)
    behaviour.broken = remote.TRIES - 1
    assert np.array_equal(source.image(3), source.image(9))
    assert behaviour.broken == 0
    behaviour.broken = 1000
    with pytest.raises(Failed, match=r"0\.tar cannot be reached: "):
        source.image(0)
    behaviour.broken, behaviour.ranges = 0, False
    with pytest.raises(Failed, match=r"0\.tar cannot be read in parts: its server sends all of it"):
        source.image(0)


def test_an_address_has_what_a_path_has():
    place = Remote("https://host/a/b.c.tar?key=1/2")
    assert (place.name, place.suffix, str(place.parent)) == ("b.c.tar", ".tar", "https://host/a")
    assert str(place.with_suffix(".arrow")) == "https://host/a/b.c.arrow"
    assert str(place.parent / "index.jsonl") == "https://host/a/index.jsonl"
