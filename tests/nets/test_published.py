"""Published weights: the hub is asked once where it cannot be reached, and a download is announced."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import timm
from safetensors.torch import save

SCRIPT = """
from twofold.errors import UsageError
from twofold.nets.published import published_model
try:
    print(float(next(published_model("test_resnet").parameters()).detach().sum()))
except UsageError as error:
    print("refused:", error)
"""


def asked(port, cache):
    """What a process says that gets its weights from a hub at a port, on stdout and on stderr."""
    hub = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    environment = {**os.environ, **hub, "PYTHONPATH": ":".join(sys.path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment = {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path):
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            with suppress(OSError):  # the server is closed in the end
                while True:
                    connection, _ = server.accept()
                    calls.append(connection.recv(4096).split()[:2])
                    connection.close()

        Thread(target=hang_up, daemon=True).start()
        said, warned = asked(server.getsockname()[1], tmp_path)
    path = b"/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"
    assert [call for call in calls if call[1] == path] == [[b"HEAD", path]]  # the client also asks of itself
    assert said.startswith("refused: the published weights of test_resnet cannot be had")
    assert "downloading" not in warned


def test_a_download_is_announced_and_what_is_in_the_cache_needs_none(tmp_path):
    model = timm.create_model("test_resnet")
    content = save(model.state_dict())

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            for name, value in {"ETag": '"e"', "X-Repo-Commit": "c" * 40, "Content-Length": len(content)}.items():
                self.send_header(name, str(value))
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        said, warned = asked(server.server_port, tmp_path)
        server.shutdown()
    assert float(said) == float(next(model.parameters()).detach().sum())
    assert "downloading the published weights of test_resnet (timm/test_resnet.r160_in1k)\n" in warned
    again, warned = asked(server.server_port, tmp_path)  # where nobody answers any more
    assert again == said
    assert "downloading" not in warned
