"""What can go wrong: one sentence on stderr for each, and an exit code that is not 0."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Run = Callable[..., Any]
    Foreign = Callable[..., int]
    Answering = Callable[[bytes], int]


def one_sentence(done: Any, code: int = 1) -> str:
    """The sentence with which a failed command ends; there must be nothing else."""
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("cwschannel: ")
    return str(lines[0])


def silent(_: object) -> None:
    """A handler that has nothing to say."""


def test_refused(run: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        assert "refused" in one_sentence(run("connect", url))


def test_a_password_in_the_url_is_not_shown(run: Run, answering: Answering) -> None:
    port = answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    sentence = one_sentence(run("connect", f"ws://me:secret@127.0.0.1:{port}/a@b"))
    assert "401 Unauthorized" in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:1", "http://h/", "ws://", "ws://h/#part", "ws://h:x/", "ws://a b/", "ws://h/\x1b", ""],
)
def test_not_a_uri(run: Run, url: str) -> None:
    assert len(one_sentence(run("connect", url))) > len("cwschannel: ")


def test_unknown_host(run: Run) -> None:
    done = run("connect", "ws://no-such-host.invalid/", env={"RES_OPTIONS": "timeout:1 attempts:1"})
    assert "no-such-host.invalid" in one_sentence(done)


def test_name_that_no_host_can_have(run: Run) -> None:
    assert one_sentence(run("connect", f"ws://{'a' * 64}.invalid/"))


def test_http_404(run: Run, answering: Answering) -> None:
    port = answering(b"HTTP/1.1 404 Nothing Here\r\nContent-Length: 0\r\n\r\n")
    assert "404 Nothing Here" in one_sentence(run("connect", f"ws://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 \x9b1A\xe2\x80\xae\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-\x1b[2J\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 20",
    ],
)
def test_not_a_websocket_server(run: Run, answering: Answering, answer: bytes) -> None:
    sentence = one_sentence(run("connect", f"ws://127.0.0.1:{answering(answer)}"))
    assert sentence.isprintable()


def test_no_answer(run: Run, answering: Answering) -> None:
    url = f"ws://127.0.0.1:{answering(b'')}"
    assert "within 0.5 s" in one_sentence(run("connect", "--timeout", "0.5", url))


def test_certificate_that_nobody_vouches_for(run: Run, foreign: Foreign, server_tls: ssl.SSLContext) -> None:
    done = run("connect", f"wss://127.0.0.1:{foreign(silent, ssl=server_tls)}")
    assert "certificate" in one_sentence(done)
    assert "--insecure" in done.stderr


def test_tls_to_a_server_without_it(run: Run, foreign: Foreign) -> None:
    url = f"wss://127.0.0.1:{foreign(silent)}"
    assert "127.0.0.1" in one_sentence(run("connect", url))


@pytest.mark.parametrize(
    "options",
    [["--header", "no"], ["--protocol", "a b"], ["--origin", "a\nb"], ["--timeout", "never"], ["--what"]],
)
def test_options_that_cannot_be(run: Run, options: list[str]) -> None:
    done = run("connect", *options, "ws://127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert "Traceback" not in done.stderr


# The server.


def test_no_mode(run: Run) -> None:
    assert "--echo" in one_sentence(run("serve"), 2)


def test_port_in_use(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        sentence = one_sentence(run("serve", "--echo", "--port", port), 1)
    assert sentence == f"cwschannel: 127.0.0.1:{port} is already in use"


def test_address_that_is_not_ours(run: Run) -> None:
    assert "192.0.2.1" in one_sentence(run("serve", "--echo", "--host", "192.0.2.1", "--port", 0), 1)


def test_certificate_that_does_not_exist(run: Run, certificate: tuple[str, str, str]) -> None:
    assert "none.pem" in one_sentence(run("serve", "--echo", "--port", 0, "--ssl-cert", "none.pem"), 1)
    assert "key.pem" in one_sentence(run("serve", "--echo", "--port", 0, "--ssl-cert", certificate[2]), 1)
    assert "--ssl-cert" in one_sentence(run("serve", "--echo", "--port", 0, "--ssl-key", certificate[2]), 2)


@pytest.mark.parametrize("port", ["-1", "65536", "http", "1.5"])
def test_port_that_cannot_be(run: Run, port: str) -> None:
    done = run("serve", "--echo", f"--port={port}")
    assert done.returncode == 2
    assert "is not a port" in done.stderr
