"""The echo programs that the Autobahn suite talks to: servers and clients, on asyncio and without an event loop.

testee.py kernels                  print "compiled" or "pure"
testee.py serve                    print the port, then echo until killed
testee.py connect URL AGENT        run every case that the fuzzing server at URL offers
testee.py sync-serve               the same over blocking sockets
testee.py sync-connect URL AGENT
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import Any

import cwschannel
import cwschannel.sync
from cwschannel.kernels import COMPILED

OPTIONS: dict[str, Any] = {
    "max_message_size": 16 * 1024 * 1024,  # case 9.1.6
    "max_fragments": 65536,  # case 9.3.1
    "ping_interval": None,  # the suite does not expect pings
}


async def echo(channel: cwschannel.IOWebSocketChannel) -> None:
    """Send every message back until the end; most cases end by breaking the protocol."""
    try:
        async for message in channel.stream:
            await channel.send(message)
    except (cwschannel.ConnectionClosed, cwschannel.ProtocolError):
        pass


async def serve() -> None:
    async with cwschannel.serve(echo, host="127.0.0.1", port=0, **OPTIONS) as server:
        print(server.port, flush=True)
        await server.serve_forever()


async def connect(url: str, agent: str) -> int:
    """Run every case; returns how many ended with an exception other than the ones of a broken connection."""
    surprises = 0
    async with cwschannel.connect(f"{url}/getCaseCount", **OPTIONS) as channel:
        count = int(await channel.recv())
    for case in range(1, count + 1):
        try:
            async with cwschannel.connect(f"{url}/runCase?case={case}&agent={agent}", **OPTIONS) as channel:
                await echo(channel)
        except Exception:
            print(f"case number {case}:", flush=True)
            traceback.print_exc()
            surprises += 1
    async with cwschannel.connect(f"{url}/updateReports?agent={agent}", **OPTIONS) as channel:
        await echo(channel)
    return surprises


def sync_echo(channel: cwschannel.SocketWebSocketChannel) -> None:
    try:
        for message in channel.stream:
            channel.send(message)
    except (cwschannel.ConnectionClosed, cwschannel.ProtocolError):
        pass


def sync_serve() -> None:
    with cwschannel.sync.serve(sync_echo, host="127.0.0.1", port=0, **OPTIONS) as server:
        print(server.port, flush=True)
        server.serve_forever()


def sync_connect(url: str, agent: str) -> int:
    surprises = 0
    with cwschannel.sync.connect(f"{url}/getCaseCount", **OPTIONS) as channel:
        count = int(channel.recv())
    for case in range(1, count + 1):
        try:
            with cwschannel.sync.connect(f"{url}/runCase?case={case}&agent={agent}", **OPTIONS) as channel:
                sync_echo(channel)
        except Exception:
            print(f"case number {case}:", flush=True)
            traceback.print_exc()
            surprises += 1
    with cwschannel.sync.connect(f"{url}/updateReports?agent={agent}", **OPTIONS) as channel:
        sync_echo(channel)
    return surprises


def main() -> None:
    match sys.argv[1:]:
        case ["kernels"]:
            print("compiled" if COMPILED else "pure")
        case ["serve"]:
            asyncio.run(serve())
        case ["connect", url, agent]:
            if surprises := asyncio.run(connect(url, agent)):
                raise SystemExit(f"{surprises} cases ended with an unexpected exception")
        case ["sync-serve"]:
            sync_serve()
        case ["sync-connect", url, agent]:
            if surprises := sync_connect(url, agent):
                raise SystemExit(f"{surprises} cases ended with an unexpected exception")
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
