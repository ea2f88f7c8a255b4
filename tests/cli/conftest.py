"""The command in a process of its own, and servers that are not cwschannel's for it to talk to."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from websockets.sync.server import serve

import cwschannel

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

PATIENCE = 30.0  # seconds a process may take, on a busy machine


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cwschannel", *map(str, arguments)]


def environment(extra: dict[str, str]) -> dict[str, str]:
    """Ours, with the package that the tests import also found from another directory."""
    package = str(Path(cwschannel.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **extra}


class Process:
    """A running command; every wait for it is bounded."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: list[bytes] = []
        readers = (self._read_stdout, self._read_stderr)
        self._threads = [threading.Thread(target=reader) for reader in readers]
        for thread in self._threads:
            thread.start()

    def _read_stdout(self) -> None:
        for line in self.popen.stdout or ():
            self._lines.put(line.decode().removesuffix("\n"))
        self._lines.put(None)

    def _read_stderr(self) -> None:
        assert self.popen.stderr is not None
        self._errors.append(self.popen.stderr.read())

    def line(self) -> str:
        """The next line of its output."""
        line = self._lines.get(timeout=PATIENCE)
        assert line is not None, f"the command ended; stderr: {self._errors}"
        return line

    def write(self, data: bytes) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(data)
        self.popen.stdin.flush()

    def finish(self, number: int | None = None) -> tuple[int, list[str], str]:
        """Send it the signal if there is one, and wait; the exit code, the lines not yet read, and stderr."""
        if number is not None:
            self.popen.send_signal(number)
        code = self.popen.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        rest = list(iter(self._lines.get_nowait, None))
        return code, rest, b"".join(self._errors).decode()

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start the command: `start("serve", "--echo", stdin=...)`."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: object, **options: Any) -> Process:
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            options = {"cwd": tmp_path, "env": environment({}), **pipes, **options}
            process = Process(subprocess.Popen(command(*arguments), start_new_session=True, **options))
            stack.callback(process.close)
            return process

        yield start


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Run the command to its end: `run("connect", url, input=b"a\\n", env={...})`."""

    def run(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> Any:
        if "stdin" not in options:
            options.setdefault("input", b"")
        options |= {"cwd": tmp_path, "env": environment(env or {}), "timeout": PATIENCE}
        done = subprocess.run(command(*arguments), capture_output=True, check=False, **options)
        out, err = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


@pytest.fixture
def reader_that_leaves() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A descriptor for a command's output, and a call that reads one line of it and then goes away."""
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as reader, open(theirs, "wb", buffering=0) as writer:

        def read_and_leave() -> bytes:
            writer.close()  # the command has its own
            line = b""
            with reader:
                while not line.endswith(b"\n"):
                    assert select.select([reader], [], [], PATIENCE)[0]
                    line += reader.read(1)
            return line

        yield theirs, read_and_leave


@pytest.fixture
def on_terminal(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run the command with a terminal for its output; the exit code and what was drawn."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")

    def run(*arguments: object) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        drawn = b""
        try:
            settings: dict[str, Any] = {"cwd": tmp_path, "env": environment({}), "stdin": subprocess.DEVNULL}
            process = subprocess.Popen(command(*arguments), stdout=theirs, **settings)
            os.close(theirs)
            try:
                while select.select([ours], [], [], PATIENCE)[0]:
                    with contextlib.suppress(OSError):  # Linux ends the terminal with EIO
                        chunk = os.read(ours, 65536)
                        drawn += chunk
                        if chunk:
                            continue
                    break
                return process.wait(PATIENCE), drawn.decode()
            finally:
                process.kill()
                process.wait(PATIENCE)
        finally:
            os.close(ours)

    return run


@pytest.fixture
def foreign() -> Iterator[Callable[..., int]]:
    """Start a server of the `websockets` package on a free port of the loopback; returns the port."""
    with contextlib.ExitStack() as stack:

        def start(handler: Callable[[Any], None], **options: Any) -> int:
            server = stack.enter_context(serve(handler, "127.0.0.1", 0, compression=None, **options))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join, PATIENCE)
            stack.callback(server.shutdown)
            port = server.socket.getsockname()[1]
            assert isinstance(port, int)
            return port

        yield start


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """Start a server that answers every request with these bytes, or with silence; returns the port."""
    with contextlib.ExitStack() as stack:

        def start(answer: bytes) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            done = threading.Event()

            def serve() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(30)
                        request = b""
                        while b"\r\n\r\n" not in request:
                            request += connection.recv(65536)
                        connection.sendall(answer)
                        if not answer:
                            done.wait(30)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join, 30)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            stack.callback(done.set)
            port = listener.getsockname()[1]
            assert isinstance(port, int)
            return port

        yield start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """Files: the authority's certificate, the server's chain, its key."""
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    paths = [str(directory / name) for name in ("ca.pem", "chain.pem", "key.pem")]
    authority.cert_pem.write_to_path(paths[0])
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(paths[1], append=True)
    leaf.private_key_pem.write_to_path(paths[2])
    return paths[0], paths[1], paths[2]


@pytest.fixture
def server_tls(certificate: tuple[str, str, str]) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[2])
    return context


@pytest.fixture
def interrupt() -> Iterator[signal.Signals]:
    """What Ctrl-C sends; skips where a process cannot be sent it."""
    if sys.platform == "win32":
        pytest.skip("Windows has no signals to send")
    # A shell's background job ignores it, and so would the processes that are started here: a handler is not handed down.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.SIGINT
    signal.signal(signal.SIGINT, before)
