"""`cwschannel serve --echo`, seen by clients that are not cwschannel's, and `cwschannel` itself."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from cwschannel import __version__
from cwschannel.kernels import COMPILED, WHY_PURE

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]
    Start = Callable[..., Any]


def client(url: str, **options: Any) -> ClientConnection:
    options |= {"compression": None, "proxy": None, "open_timeout": 30, "close_timeout": 30}
    connection: ClientConnection = connect(url, **options)
    return connection


def url_of(process: Any) -> str:
    match = re.fullmatch(r"listening on (wss?://127\.0\.0\.1:[1-9]\d*)", process.line())
    assert match
    return match.group(1)


def test_echo_and_a_line_for_each_connection(start: Start) -> None:
    process = start("serve", "--echo", "--port", 0)
    url = url_of(process)
    with client(url) as first:
        port = first.local_address[1]
        assert process.line() == f"#1 127.0.0.1:{port} opened"
        for message in ("text é", b"\x00\xff", "", b"", "x" * 300_000):
            first.send(message)
            assert first.recv(30) == message
        first.close(4000, "by\x1be \u202e")
        assert first.close_code == 4000
    assert process.line() == f"#1 127.0.0.1:{port} closed: 4000 (private use) 'by\\x1be \\u202e'"
    with client(url):
        assert process.line().startswith("#2 ")
    assert process.line().endswith(" closed: 1000 (normal closure)")


def test_a_connection_that_is_cut_does_not_stop_it(start: Start) -> None:
    process = start("serve", "--echo", "--port", 0)
    url = url_of(process)
    with client(url) as first:
        process.line()
        first.socket.shutdown(socket.SHUT_RDWR)
    assert "closed: 1006 (abnormal closure)" in process.line()
    with client(url) as second:
        second.send("still there")
        assert second.recv(30) == "still there"


def test_a_client_that_breaks_the_protocol_does_not_stop_it(start: Start) -> None:
    process = start("serve", "--echo", "--port", 0)
    url = url_of(process)
    with client(url) as first:
        process.line()
        first.socket.sendall(b"\xff\x80\x00\x00\x00\x00")  # reserved bits and opcode
        with pytest.raises(ConnectionClosed):
            first.recv(30)
        assert first.close_code == 1002
    assert " closed: " in process.line()
    with client(url) as second:
        second.send("still there")
        assert second.recv(30) == "still there"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signals_close_gracefully(start: Start, interrupt: signal.Signals, name: str) -> None:
    process = start("serve", "--echo", "--port", 0)
    with client(url_of(process)) as connection:
        process.line()
        process.popen.send_signal(getattr(signal, name))
        with pytest.raises(ConnectionClosed):
            connection.recv(30)
        assert (connection.close_code, connection.close_reason) == (1001, "server stopped")
        code, lines, errors = process.finish()
    assert (code, errors) == (0, "")
    assert [line.partition(" closed: ")[2] for line in lines] == ["1001 (going away) 'server stopped'"]


def test_signal_without_connections(start: Start, interrupt: signal.Signals) -> None:
    process = start("serve", "--echo", "--port", 0)
    process.line()
    assert process.finish(interrupt) == (0, [], "")


def test_protocol(start: Start) -> None:
    process = start("serve", "--echo", "--port", 0, "--protocol", "chat", "--protocol", "news")
    with client(url_of(process), subprotocols=["other", "news"]) as connection:
        assert connection.subprotocol == "news"
        assert process.line().endswith(" opened, protocol news")


def test_tls(start: Start, certificate: tuple[str, str, str]) -> None:
    process = start("serve", "--echo", "--port", 0, "--ssl-cert", certificate[1], "--ssl-key", certificate[2])
    url = url_of(process)
    assert url.startswith("wss:")
    with client(url, ssl=ssl.create_default_context(cafile=certificate[0])) as connection:
        connection.send("secret")
        assert connection.recv(30) == "secret"


def test_connect_and_serve_meet(start: Start, run: Run) -> None:
    process = start("serve", "--echo", "--port", 0, "--protocol", "chat")
    done = run("connect", url_of(process), "--protocol", "chat", input=b"a\nb\n")
    assert done.stdout.splitlines() == [
        "connected, protocol chat", "< a", "< b", "closed: 1000 (normal closure)",
    ]  # fmt: skip
    assert process.line().endswith("opened, protocol chat")
    assert process.line().endswith("closed: 1000 (normal closure)")


def test_output_that_nobody_reads_stops_it(start: Start, reader_that_leaves: Any) -> None:
    output, read_and_leave = reader_that_leaves
    process = start("serve", "--echo", "--port", 0, stdout=output)
    url = read_and_leave().decode().split()[-1]
    with client(url) as connection, pytest.raises(ConnectionClosed):
        connection.recv(30)
    code, _, errors = process.finish()
    assert (code, errors) == (0, "")


# The command itself.


def test_version(run: Run) -> None:
    done = run("--version")
    kernels = "compiled kernels" if COMPILED else f"pure kernels ({WHY_PURE})"
    assert done.returncode == 0
    assert done.stdout.startswith(f"cwschannel {__version__}, ")
    assert done.stdout.endswith(f" {'.'.join(map(str, sys.version_info[:3]))}, {kernels}\n")


def test_version_says_when_the_pure_kernels_were_chosen(run: Run) -> None:
    assert "pure kernels (CWSCHANNEL_PURE is set)" in run("--version", env={"CWSCHANNEL_PURE": "1"}).stdout


def test_without_a_command_it_shows_its_help(run: Run) -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    for verb in ("demo", "connect", "serve"):
        assert verb in done.stderr


@pytest.mark.parametrize("verb", ["", "demo", "connect", "serve"])
def test_help(run: Run, verb: str) -> None:
    done = run(*filter(None, [verb]), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: cwschannel")
