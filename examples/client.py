"""Say hello and print the answer: ``python client.py [URI]``."""

import asyncio
import sys

import cwschannel
from cwschannel import status


async def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765"
    async with cwschannel.connect(uri) as channel:
        channel.sink.add("hello")
        async for message in channel.stream:
            print(message)
            await channel.sink.close(status.GOING_AWAY, "bye")
    print(channel.close_code, channel.close_reason)


if __name__ == "__main__":
    asyncio.run(main())
