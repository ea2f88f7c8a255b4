"""A client under trio: ``python trio_client.py [URI]``, against ``echo_server.py``. Prints the answers and the close code.

``from_anyio`` makes a channel of bytes of any anyio stream, and the WebSocket runs on that, with the same stream and sink as
under asyncio. ``connect()`` belongs to asyncio, so the opening handshake (RFC 6455 section 4.1) is made by hand here.

Needs trio: ``pip install 'cwschannel[anyio]' trio``.
"""

import base64
import os
import sys
from urllib.parse import urlsplit

from cwschannel import WebSocketChannel, byte_channels, status

try:
    import anyio
    import trio
    from anyio.abc import ByteStream
    from anyio.streams.buffered import BufferedByteReceiveStream
    from anyio.streams.stapled import StapledByteStream
except ModuleNotFoundError as error:
    sys.exit(f"this example needs trio and anyio ({error}): pip install 'cwschannel[anyio]' trio")


async def open_stream(uri: str) -> ByteStream:
    """Connect, and do the opening handshake."""
    parts = urlsplit(uri)
    stream = await anyio.connect_tcp(parts.hostname or "localhost", parts.port or 80)
    key = base64.b64encode(os.urandom(16)).decode()
    await stream.send(
        f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    buffered = BufferedByteReceiveStream(stream)  # keeps what comes right behind the head, which belongs to the WebSocket
    lines = (await buffered.receive_until(b"\r\n\r\n", 65536)).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if lines[0].split()[1] != "101" or headers.get("sec-websocket-accept") != WebSocketChannel.sign_key(key):
        await stream.aclose()
        raise ConnectionError(f"the server refused the WebSocket: {lines[0]}")
    return StapledByteStream(stream, buffered)


async def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765"
    with trio.fail_after(30):
        async with (
            byte_channels.from_anyio(await open_stream(uri)) as byte_channel,
            WebSocketChannel(byte_channel, server_side=False) as channel,
        ):
            channel.sink.add("hello")
            channel.sink.add("from trio")
            async for message in channel.stream:
                print(message)
                if message == "from trio":
                    await channel.sink.close(status.GOING_AWAY, "bye")
        print(channel.close_code, channel.close_reason)


if __name__ == "__main__":
    trio.run(main)
