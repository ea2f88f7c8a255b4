"""`cwschannel connect`, talking to servers that are not cwschannel's."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import signal
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]
    Start = Callable[..., Any]
    Foreign = Callable[..., int]
    Answering = Callable[[bytes], int]

    from websockets.sync.server import ServerConnection


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def test_lines_from_a_pipe_are_sent_and_answered(run: Run, foreign: Foreign) -> None:
    done = run("connect", f"ws://127.0.0.1:{foreign(echo)}", input="a\r\n\nbé\nno end".encode())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "connected", "< a", "< ", "< bé", "< no end", "closed: 1000 (normal closure)",
    ]  # fmt: skip


def test_lines_from_a_file(run: Run, foreign: Foreign, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    with path.open("rb") as file:
        done = run("connect", f"ws://127.0.0.1:{foreign(echo)}", stdin=file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:-1] == ["< one", "< two"]


def test_no_input(run: Run, foreign: Foreign) -> None:
    done = run("connect", f"ws://127.0.0.1:{foreign(echo)}", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["connected", "closed: 1000 (normal closure)"])


def test_lines_longer_than_a_chunk_and_more_than_the_buffers_hold(run: Run, foreign: Foreign) -> None:
    lines = [f"{number}{'x' * 200_000}" for number in range(20)]
    done = run("connect", f"ws://127.0.0.1:{foreign(echo)}", input="\n".join(lines).encode())
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:-1] == [f"< {line}" for line in lines]


def test_answers_that_come_late_are_waited_for(run: Run, foreign: Foreign) -> None:
    def slow(connection: ServerConnection) -> None:
        for message in connection:
            threading.Event().wait(0.6)
            connection.send(message)

    done = run("connect", f"ws://127.0.0.1:{foreign(slow)}", input=b"1\n2\n3\n")
    assert done.stdout.splitlines()[1:-1] == ["< 1", "< 2", "< 3"]


def test_remote_text_cannot_move_the_cursor(run: Run, foreign: Foreign) -> None:
    def hostile(connection: ServerConnection) -> None:
        connection.send("\x1b[2J\r\nforged\x07\x9b1A \u202egpj.exe\x7f")
        connection.close(4001, "bye\x1b]0;owned\x07\n\u2066")

    done = run("connect", f"ws://127.0.0.1:{foreign(hostile)}")
    assert done.returncode == 1, "4001 is not how a connection ends when all is well"
    assert done.stdout.splitlines() == [
        "connected",
        "< \\x1b[2J\\r\\nforged\\x07\\x9b1A \\u202egpj.exe\\x7f",
        "closed: 4001 (private use) 'bye\\x1b]0;owned\\x07\\n\\u2066'",
    ]


def test_binary_is_sent_as_it_is_and_shown_as_hex(run: Run, foreign: Foreign) -> None:
    lines = b"\x00\xff\r\n" + b"z" * 40 + b"\n"
    done = run("connect", "--binary", f"ws://127.0.0.1:{foreign(echo)}", input=lines)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:-1] == [
        "< binary, 3 bytes: 00 ff 0d",
        f"< binary, 40 bytes: {'7a ' * 32}...",
    ]


def test_bytes_that_are_no_text_are_replaced(run: Run, foreign: Foreign) -> None:
    done = run("connect", f"ws://127.0.0.1:{foreign(echo)}", input=b"a\xffb\n")
    assert done.stdout.splitlines()[1:-1] == ["< a\ufffdb"]


def test_headers_origin_and_protocols_reach_the_server(run: Run, foreign: Foreign) -> None:
    def tell(connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = connection.request.headers
        for name in ("X-One", "X-Two", "Origin", "Sec-WebSocket-Protocol"):
            connection.send(f"{name}={', '.join(headers.get_all(name))}")

    url = f"ws://127.0.0.1:{foreign(tell, subprotocols=['b'])}"
    options = ["--header", "X-One: 1: a", "--header", "X-Two:2", "--origin", "https://example.com"]
    done = run("connect", *options, "--protocol", "a", "--protocol", "b", url)
    assert done.returncode == 0
    assert done.stdout.splitlines()[:-1] == [
        "connected, protocol b",
        "< X-One=1: a",
        "< X-Two=2",
        "< Origin=https://example.com",
        "< Sec-WebSocket-Protocol=a, b",
    ]


def test_a_peer_that_closes_ends_it_though_input_is_open(start: Start, foreign: Foreign) -> None:
    port = foreign(lambda connection: connection.close(1001, "later"))
    process = start("connect", f"ws://127.0.0.1:{port}")
    code, lines, errors = process.finish()
    assert (code, errors) == (0, "")
    assert lines == ["connected", "closed: 1001 (going away) 'later'"]


def test_a_connection_that_is_cut_ends_it(start: Start, foreign: Foreign) -> None:
    def cut(connection: ServerConnection) -> None:
        connection.socket.shutdown(socket.SHUT_RDWR)

    code, lines, _ = start("connect", f"ws://127.0.0.1:{foreign(cut)}").finish()
    assert code == 1
    assert lines[-1] == "closed: 1006 (abnormal closure)"


def test_a_peer_that_breaks_the_protocol(start: Start, foreign: Foreign) -> None:
    def broken(connection: ServerConnection) -> None:
        connection.socket.sendall(b"\x81\x02\xff\xff")
        for _ in connection:
            pass

    code, lines, errors = start("connect", f"ws://127.0.0.1:{foreign(broken)}").finish()
    assert (code, len(lines)) == (1, 2)
    assert lines[-1].startswith("closed: ")
    assert re.fullmatch("cwschannel: .*UTF-8.*\n", errors)


def test_interrupt_closes_with_1000(start: Start, foreign: Foreign, interrupt: signal.Signals) -> None:
    codes = []

    def note(connection: ServerConnection) -> None:
        echo(connection)
        codes.append(connection.close_code)

    process = start("connect", f"ws://127.0.0.1:{foreign(note)}")
    process.line()
    process.write(b"hello\n")
    assert process.line() == "< hello"
    code, lines, errors = process.finish(interrupt)
    assert (code, lines, errors) == (0, ["closed: 1000 (normal closure)"], "")
    assert codes == [1000]


def test_interrupt_while_opening(start: Start, answering: Answering, interrupt: signal.Signals) -> None:
    process = start("connect", f"ws://127.0.0.1:{answering(b'')}")
    threading.Event().wait(1.5)
    assert process.finish(interrupt) == (130, [], "")


def test_a_person_at_a_terminal(start: Start, foreign: Foreign) -> None:
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    ours, theirs = pty.openpty()
    try:
        process = start("connect", f"ws://127.0.0.1:{foreign(echo)}", stdin=theirs)
        assert process.line() == "connected; each line is a message, Ctrl-D closes"
        for text in (b"first", b"second"):
            os.write(ours, text + b"\n")
            assert process.line() == f"< {text.decode()}"
        os.write(ours, b"\x04")
        assert process.finish() == (0, ["closed: 1000 (normal closure)"], "")
    finally:
        os.close(ours)
        os.close(theirs)


def test_output_that_nobody_reads(start: Start, foreign: Foreign, reader_that_leaves: Any) -> None:
    output, read_and_leave = reader_that_leaves
    process = start("connect", f"ws://127.0.0.1:{foreign(echo)}", stdout=output)
    assert read_and_leave() == b"connected\n"
    process.write(b"x\ny\n")
    code, _, errors = process.finish()
    assert (code, errors) == (1, "")


def test_insecure(run: Run, foreign: Foreign, server_tls: ssl.SSLContext) -> None:
    done = run("connect", "--insecure", f"wss://127.0.0.1:{foreign(echo, ssl=server_tls)}", input=b"secret\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["< secret", "closed: 1000 (normal closure)"]


def test_certificate_that_is_trusted(
    run: Run,
    foreign: Foreign,
    server_tls: ssl.SSLContext,
    certificate: tuple[str, str, str],
) -> None:
    url = f"wss://127.0.0.1:{foreign(echo, ssl=server_tls)}"
    done = run("connect", url, input=b"hello\n", env={"SSL_CERT_FILE": certificate[0]})
    assert done.stdout.splitlines()[1:-1] == ["< hello"]
