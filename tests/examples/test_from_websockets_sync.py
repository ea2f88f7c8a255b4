"""The page for those who come from ``websockets.sync``: its tables leave no name out."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import websockets.sync.client
import websockets.sync.connection
import websockets.sync.server

import cwschannel
import cwschannel.sync

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "from-websockets-sync.md").read_text(encoding="utf-8")

# Attributes of theirs that are not in their documentation.
INTERNAL = {
    *(
        "acknowledge_pending_pings",
        "acknowledge_pings",
        "close_socket",
        "handler",
        "handshake",
        "keepalive",
        "process_event",
    ),
    *("recv_bufsize", "recv_events", "send_context", "send_data", "start_keepalive", "maybe_raise_legacy_warning"),
    *("SHUTDOWN_POLLING_INTERVAL", "close_exc", "set_connection_exc", "terminate_pending_pings"),
}


def names(*things: object) -> set[str]:
    """The parameters of functions and the public members of classes."""
    found = set()
    for thing in things:
        if inspect.isclass(thing):
            found |= {name for name in dir(thing) if not name.startswith("_")}
        else:
            found |= set(inspect.signature(thing).parameters)  # type: ignore[arg-type]
    return found - {"kwargs", "self"}


@pytest.mark.parametrize(
    ("module", "things"),
    [
        (websockets.sync.client, ["connect", "unix_connect", "ClientConnection"]),
        (websockets.sync.server, ["serve", "unix_serve", "Server", "ServerConnection", "basic_auth"]),
    ],
)
def test_every_name_is_there(module: object, things: list[str]) -> None:
    assert set(things) <= set(module.__all__)  # type: ignore[attr-defined]
    assert [name for name in module.__all__ if f"`{name}" not in PAGE and f" {name}" not in PAGE] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "thing",
    [
        websockets.sync.client.connect,
        websockets.sync.server.serve,
        websockets.sync.server.Server,
        websockets.sync.client.ClientConnection,
        websockets.sync.server.ServerConnection,
    ],
)
def test_every_option_and_method_is_there(thing: object) -> None:
    missing = [name for name in names(thing) - INTERNAL if not re.search(rf"\b{name}\b", PAGE)]
    assert missing == []


def test_our_names_are_there() -> None:
    options = names(cwschannel.sync.connect, cwschannel.sync.serve)
    for name in ("protocols", "headers", "connect_timeout", "max_message_size", "read_limit", "allowed_origins"):
        assert name in options
    for name in ("recv", "send", "ping", "close", "latency", "close_code", "close_reason"):
        assert hasattr(cwschannel.SocketWebSocketChannel, name)
