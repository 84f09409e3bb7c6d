"""A local server that speaks as the structure archives do, and fails on command.

It answers what ``models.rcsb.org``, ``files.rcsb.org`` and AlphaFold DB answer, from files held in
memory; :mod:`servers.rcsb` adds the interfaces that answer questions. Faults are queued per path:
each request to that path uses up one.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request."""

    status: int = 0
    """Answer with this status instead of the file."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Answer 200 with this body instead of the file."""
    hang: float = 0.0
    """Seconds of silence before anything is sent."""
    cut_to: int | None = None
    """Announce the whole file, send this many bytes, and close."""
    drip: float = 0.0
    """Seconds between bytes."""
    reset: bool = False
    """Break the connection with a TCP reset."""


Answer = Callable[[bytes], tuple[int, bytes]]
"""Body of a request → status and body of the answer."""


class ArchiveServer:
    """Files, answers, queued faults and a count of requests, by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.requests: Counter[str] = Counter()
        self.times: list[tuple[float, str]] = []
        """Time (monotonic clock) and path of each request."""
        self.headers: dict[str, dict[str, str]] = {}
        self.closing = threading.Event()
        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.httpd.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.httpd.server_address[1]}"

    def add_pdb(
        self, identifier: str, *, bcif_gz: bytes | None = None, cif_gz: bytes | None = None
    ) -> None:
        """Serve an entry as the PDB does."""
        if bcif_gz is not None:
            self.files[f"/{identifier}.bcif.gz"] = bcif_gz
        if cif_gz is not None:
            self.files[f"/download/{identifier}.cif.gz"] = cif_gz

    def add_alphafold(
        self, accession: str, *, version: int, fragments: int = 1, **files: bytes
    ) -> None:
        """Serve a model as AlphaFold DB does; ``files`` are suffix → content, e.g. ``cif``."""
        listing = []
        for number in range(1, fragments + 1):
            entry = f"AF-{accession}-F{number}"
            model = {"entryId": entry, "uniprotAccession": accession, "latestVersion": version}
            for suffix, content in files.items():
                path = f"/files/{entry}-model_v{version}.{suffix}"
                self.files[path] = content
                model[f"{suffix}Url"] = self.url + path
            listing.append(model)
        self.files[f"/api/prediction/{accession}"] = json.dumps(listing).encode()

    def fail(self, path: str, *faults: Fault) -> None:
        """Let the next requests to a path go wrong, one fault each."""
        self.faults[path].extend(faults)


def _handler(server: ArchiveServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(
                lambda body: (
                    (404, b"") if (file := server.files.get(self.path)) is None else (200, file)
                )
            )

        def do_POST(self) -> None:
            self._answer(server.answers.get(self.path, lambda body: (404, b"")))

        def _answer(self, answer: Answer) -> None:
            question = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.requests[self.path] += 1
            server.times.append((time.monotonic(), self.path))
            server.headers[self.path] = dict(self.headers)
            queue = server.faults[self.path]
            fault = queue.popleft() if queue else Fault()
            if fault.hang:
                server.closing.wait(fault.hang)
                self.close_connection = True
                return
            if fault.reset:
                # Linger 0 makes close() send RST instead of FIN.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return
            status, body = (200, fault.body) if fault.body is not None else answer(question)
            self._send(fault.status or status, b"" if fault.status else body, fault)

        def _send(self, status: int, body: bytes, fault: Fault) -> None:
            self.send_response(status)
            for name, value in fault.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault.cut_to is not None:
                body = body[: fault.cut_to]
                self.close_connection = True
            with suppress(OSError):  # the client may have given up
                if not fault.drip:
                    self.wfile.write(body)
                    return
                for position in range(len(body)):
                    if server.closing.wait(fault.drip):
                        break
                    self.wfile.write(body[position : position + 1])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output clean."""

        def finish(self) -> None:
            with suppress(OSError, ValueError):  # the connection may be broken on purpose
                super().finish()

    return Handler


@contextmanager
def running() -> Iterator[ArchiveServer]:
    """Run a server in a thread for as long as the ``with`` block lasts."""
    server = ArchiveServer()
    thread = threading.Thread(target=server.httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.httpd.shutdown()
        server.httpd.server_close()
        thread.join()
