"""The examples, run as a user would run them."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import websockets.exceptions
import websockets.sync.client
import websockets.sync.server

from .running import EXAMPLES, LIMIT, run, run_example, running, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs the signals and pipes of POSIX")


def test_client_prints_the_answer_and_the_close_code(server: str) -> None:
    assert run_example("client.py", server) == "hello\n1001 bye\n"


def test_listen_prints_the_answer_and_the_end(server: str) -> None:
    assert run_example("listen.py", server) == "hello\nclosed\n"


def test_guests_of_the_chat_hear_each_other() -> None:
    chat = "multi_channel_chat.py"
    with serving(chat, "serve", "0") as (uri, _), running(chat, "join", uri, "bob") as bob:
        assert bob.line() == "* bob is here"
        with running(chat, "join", uri, "ann") as ann:
            assert bob.line() == "* ann is here"
            assert ann.line() == "* ann is here"
            ann.type("hello")
            assert bob.line() == "ann: hello"
            bob.type("good morning")
            assert ann.line() == "bob: good morning"
            assert ann.end_of_input() == ""
        assert bob.line() == "* ann has left"
        assert bob.end_of_input() == ""


def test_a_guest_of_the_chat_ends_with_the_server() -> None:
    chat = "multi_channel_chat.py"
    with serving(chat, "serve", "0") as (uri, server), running(chat, "join", uri, "ann") as ann:
        assert ann.line() == "* ann is here"
        server.process.kill()
        assert ann.line() == ""
        ann.process.wait(LIMIT)


def test_typed_json_prints_documents_and_mistakes() -> None:
    lines = run_example("typed_json.py").splitlines()
    assert lines[:3] == ["{'seen': 'queen'}", "the channel carries dict, and this is list", "{'error': 'TypeError'}"]
    has_types = any(importlib.util.find_spec(name) for name in ("msgspec", "pydantic"))
    assert lines[3:] == (
        ["Move(piece='queen', to='E4')"] if has_types else ["install msgspec or pydantic to see the other half"]
    )


def test_the_relay_hands_on_messages_and_the_clients_close_code(server: str) -> None:
    with serving("relay.py", server, "0") as (uri, relay):
        assert run_example("client.py", uri) == "hello\n1001 bye\n"
        assert relay.line() == "client 1001, target 1001"


def test_the_relay_hands_on_the_targets_close_code() -> None:
    with websockets.sync.server.serve(lambda connection: connection.close(4321, "enough"), "localhost", 0) as target:
        threading.Thread(target=target.serve_forever).start()
        try:
            with serving("relay.py", f"ws://localhost:{target.socket.getsockname()[1]}", "0") as (uri, relay):
                with websockets.sync.client.connect(uri, proxy=None) as client:
                    with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
                        client.recv(LIMIT)
                    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4321, "enough")
                assert relay.line() == "client 4321, target 4321"
        finally:
            target.shutdown()


def test_the_relay_says_so_when_nobody_is_at_the_target() -> None:
    with socket.socket() as nobody:
        nobody.bind(("localhost", 0))  # and does not listen
        with serving("relay.py", f"ws://localhost:{nobody.getsockname()[1]}", "0") as (uri, relay):
            with websockets.sync.client.connect(uri, proxy=None) as client:
                with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
                    client.recv(LIMIT)
                assert caught.value.rcvd.code == 1014
            assert "it was refused" in relay.line()


@POSIX
def test_a_child_answers_through_pipes() -> None:
    assert run_example("subprocess_pipe.py") == "HELLO\nBYE\n1001 bye\nthe child ended with 0\n"


def test_a_client_of_websockets_talks_to_the_hand_made_upgrade() -> None:
    with serving("hand_made_upgrade.py", "0") as (uri, server):
        with websockets.sync.client.connect(uri, proxy=None) as client:
            for message in ("hello", b"\x00\xff", "x" * 100_000):
                client.send(message)
                assert client.recv(LIMIT) == message
        assert server.line() == "closed with 1000"


def test_the_hand_made_upgrade_takes_what_came_right_behind_the_head() -> None:
    with serving("hand_made_upgrade.py", "0") as (uri, server):
        head = (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        with socket.create_connection(("localhost", urlsplit(uri).port), LIMIT) as client:
            client.sendall(head + b"\x81\x82\0\0\0\0hi" + b"\x88\x80\0\0\0\0")  # a text message, and a close frame
            answer = b""
            while chunk := client.recv(4096):
                answer += chunk
        answer_head, _, frames = answer.partition(b"\r\n\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer_head  # RFC 6455 section 1.3
        assert frames == b"\x81\x02hi\x88\x00"
        assert server.line() == "closed with 1005"


def test_the_hand_made_upgrade_refuses_what_is_no_websocket() -> None:
    with (
        serving("hand_made_upgrade.py", "0") as (uri, _),
        socket.create_connection(("localhost", urlsplit(uri).port), LIMIT) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_the_blocking_hand_made_upgrade_answers_documents() -> None:
    with serving("sync_hand_made_upgrade.py", "0") as (uri, server):
        with websockets.sync.client.connect(uri, proxy=None) as client:
            client.send('{"a": 1}')
            assert client.recv(LIMIT) == '{"seen":{"a":1}}'
            client.send("not JSON")
            assert client.recv(LIMIT) == '{"mistake":"Expecting value: line 1 column 1 (char 0)"}'
            client.send("2")
            assert client.recv(LIMIT) == '{"seen":2}'
        assert server.line() == "closed with 1000"
        with socket.create_connection(("localhost", urlsplit(uri).port), LIMIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_client_under_trio(server: str) -> None:
    pytest.importorskip("trio")
    pytest.importorskip("anyio")
    assert run_example("trio_client.py", server) == "hello\nfrom trio\n1001 bye\n"


def test_without_trio_its_example_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "trio.py").write_text("raise ModuleNotFoundError('No module named trio')\n")
    command = [sys.executable, "-P", str(EXAMPLES / "trio_client.py")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, env=environment)
    assert result.returncode == 1
    assert "pip install 'cwschannel[anyio]' trio" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def _ctrl_c_is_heeded() -> Iterator[None]:
    """Where the tests run in the background, SIGINT is ignored, and what they start would ignore it, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heeded")
@POSIX
@pytest.mark.parametrize(
    "command",
    [
        ("echo_server.py", "0"),
        ("multi_channel_chat.py", "serve", "0"),
        ("relay.py", "ws://localhost:1", "0"),
        ("hand_made_upgrade.py", "0"),
    ],
    ids=lambda command: command[0],
)
def test_servers_end_on_ctrl_c(command: tuple[str, ...]) -> None:
    with serving(*command) as (_, example):
        example.process.send_signal(signal.SIGINT)
        rest, _ = example.process.communicate(timeout=LIMIT)
        assert (rest, example.process.returncode) == ("", 0)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_each_example_says_how_to_run_it(path: Path) -> None:
    code = "import ast, sys; print(ast.get_docstring(ast.parse(open(sys.argv[1], encoding='utf-8').read())))"
    assert f"``python {path.name}" in run("-c", code, str(path))
