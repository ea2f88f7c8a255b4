"""An echo server whose opening handshake is made by hand: ``python hand_made_upgrade.py [PORT]``.

This is how a program that has an HTTP server of its own gets a WebSocket: it answers the upgrade (RFC 6455 section 4.2), and
hands the connection over. Here that server is ``asyncio.start_server``, and it understands just enough of HTTP to show it.
Prints the URI on which it listens, and the close code of each connection. Runs until Ctrl-C.
"""

import asyncio
import sys

from cwschannel import WebSocketChannel, byte_channels

BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read a request and answer it; return whether this is a WebSocket from now on."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.partition(":") for line in head.splitlines()[1:]]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        if headers["upgrade"].lower() != "websocket" or headers["sec-websocket-version"] != "13":
            raise ValueError("not a WebSocket of RFC 6455")
        accept = WebSocketChannel.sign_key(headers["sec-websocket-key"])
    except (KeyError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.write(BAD)
        return False
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )
    return True


async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not await upgrade(reader, writer):
        writer.close()
        return
    async with WebSocketChannel(byte_channels.from_streams(reader, writer), ping_interval=20) as channel:
        async for message in channel.stream:
            await channel.send(message)
    print("closed with", channel.close_code, flush=True)


async def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    server = await asyncio.start_server(connected, "localhost", port)
    print(f"listening on ws://localhost:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
