"""`cwschannel serve --echo`: a server that is ready at once."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import cwschannel

from .. import status
from ..exceptions import WebSocketChannelException
from .terminal import CommandError, closing, explain, mute_stdout, say, stop_signals, token

if TYPE_CHECKING:
    from .. import IOWebSocketChannel


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare the verb and its options."""
    parser = commands.add_parser("serve", help="run a server", description="Run a WebSocket server.")
    parser.add_argument("--echo", action="store_true", help="send every message back")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8765, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--ssl-cert", metavar="FILE", help="PEM certificate chain; makes it wss")
    parser.add_argument("--ssl-key", metavar="FILE", help="PEM private key, if not in the same file")
    parser.add_argument("--protocol", action="append", type=token, default=[], help="to accept (repeatable)")
    parser.set_defaults(run=run, where=_where)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    if not args.echo:
        raise CommandError("serve needs a mode, and there is one: --echo sends every message back", 2)
    return asyncio.run(_serve(args, _ssl_context(args.ssl_cert, args.ssl_key)))


async def _serve(args: argparse.Namespace, context: ssl.SSLContext | None) -> int:
    with stop_signals() as stop:
        server = cwschannel.serve(_Echo(stop), args.host, args.port, protocols=args.protocol, ssl=context)
        async with server:
            scheme = "wss" if context else "ws"
            say(f"listening on {scheme}://{_address(args.host, server.port)}")
            await stop.wait()
            server.close(status.GOING_AWAY, "server stopped")
            await server.wait_closed()
    return 0


class _Echo:
    """The handler: sends every message back, and prints a line when a connection opens and when it closes."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._count = 0

    async def __call__(self, channel: IOWebSocketChannel) -> None:
        self._count += 1
        name = f"#{self._count} {_peer(channel.remote_address)}"
        try:
            say(f"{name} opened" + (f", protocol {channel.protocol}" if channel.protocol else ""))
            try:
                async for message in channel.stream:
                    await channel.send(message)
            except WebSocketChannelException:
                pass  # the close code and reason below tell it
            await channel.sink.close()
            say(f"{name} closed: {closing(channel.close_code, channel.close_reason)}")
        except BrokenPipeError:  # nobody reads what we print any more
            mute_stdout()
            self._stop.set()


def _ssl_context(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise CommandError("--ssl-key needs --ssl-cert beside it", 2)
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise CommandError(explain(error, " and ".join(filter(None, (certificate, key))))) from error
    return context


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port between 0 and 65535")
    return int(text)


def _where(args: argparse.Namespace) -> str:
    return _address(args.host, args.port)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _peer(address: object) -> str:
    return _address(str(address[0]), address[1]) if isinstance(address, tuple) else str(address)
