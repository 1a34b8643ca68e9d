"""A web server on this machine, with faults on request."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Faults:
    """What the server does wrong, and what it saw.

    cut: bytes after which a file's next answers end early, one entry an answer. status: answers with this status first.
    ranges: whether it understands Range.
    """

    def __init__(self) -> None:
        self.cut: dict[str, list[int]] = {}
        self.status: dict[str, list[int]] = {}
        self.ranges = True
        self.seen: Counter[str] = Counter()
        self.range_headers: list[tuple[str, str]] = []
        self.times: list[float] = []


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, faults: Faults, **options: Any) -> None:
        self.faults = faults
        super().__init__(*args, **options)

    def log_message(self, *args: Any) -> None:
        return None

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, body: bool) -> None:
        name = self.path.partition("?")[0]
        self.faults.seen[f"{self.command} {name}"] += 1
        self.faults.times.append(time.monotonic())
        if self.faults.status.get(name):
            self._say(self.faults.status[name].pop(0), b"")
        elif name.startswith("/api/datasets/"):
            self._say(200, self._tree(name), "application/json")
        elif Path(self._real(name)).is_file():
            self._file(name, body)
        elif body:
            super().do_GET()
        else:
            super().do_HEAD()

    def _real(self, name: str) -> str:
        return self.translate_path(re.sub(r"^/datasets/[^/]+/[^/]+/resolve/[^/]+", "", name))

    def _tree(self, name: str) -> bytes:
        """The hub's answer: all files, the sha256 of none."""
        root = Path(self.translate_path("/"))
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        return json.dumps(
            [
                {
                    "type": "file",
                    "path": str(path.relative_to(root)),
                    "size": path.stat().st_size,
                    "oid": str(path.stat().st_size),
                }
                for path in files
            ]
        ).encode()

    def _file(self, name: str, body: bool) -> None:
        data = Path(self._real(name)).read_bytes()
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, stop, status = 0, len(data), 200
        if wanted and self.faults.ranges:
            self.faults.range_headers.append((name, self.headers["Range"]))
            start, stop, status = int(wanted[1]), int(wanted[2]) + 1 if wanted[2] else len(data), 206
        part = data[start:stop]
        self.send_response(status)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if not body:
            return
        cuts = self.faults.cut.get(name, [])
        if cuts:
            self.wfile.write(part[: cuts.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(part)

    def _say(self, status: int, data: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, Faults]]:
    """Serve a folder; gives its address and its faults."""
    faults = Faults()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder), faults=faults))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
