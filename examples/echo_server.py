"""An echo server: ``python echo_server.py [PORT]``."""

import asyncio
import sys

import cwschannel


async def echo(channel: cwschannel.IOWebSocketChannel) -> None:
    async for message in channel.stream:
        await channel.send(message)  # waits while the client does not read


async def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with cwschannel.serve(echo, "localhost", port) as server:
        print(f"listening on ws://localhost:{server.port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
