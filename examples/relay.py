"""A relay: ``python relay.py TARGET [PORT]`` listens, and connects each client with the WebSocket server at TARGET.

Prints the URI on which it listens, and for each connection with which close code each side was closed. Runs until Ctrl-C.

Messages go both ways, and each side is read only as fast as the other one takes it. When one side closes, the other is
closed with the same code and reason; with 1014, Bad Gateway, if there was no closing handshake.
"""

import asyncio
import functools
import sys

import cwschannel
from cwschannel import status


async def relay(near: cwschannel.IOWebSocketChannel, target: str) -> None:
    try:
        far = await cwschannel.connect(target)
    except cwschannel.OpeningFailed as error:
        print(error, flush=True)
        await near.sink.close(status.BAD_GATEWAY, "the target cannot be reached")
        return
    await near.pipe(far)
    print(f"client {near.close_code}, target {far.close_code}", flush=True)


async def main(target: str, port: int) -> None:
    async with cwschannel.serve(functools.partial(relay, target=target), "localhost", port) as server:
        print(f"listening on ws://localhost:{server.port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8766))
    except KeyboardInterrupt:
        pass
