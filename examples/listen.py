"""The same with callbacks, as in Dart: ``python listen.py [URI]``."""

import asyncio
import sys

import cwschannel
from cwschannel import status


async def main() -> None:
    channel = cwschannel.connect(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765")

    def on_message(message: str | bytes) -> None:
        print(message)
        channel.sink.close(status.GOING_AWAY)

    channel.stream.listen(on_message, on_error=print, on_done=lambda: print("closed"))
    channel.sink.add("hello")
    await channel.sink.done


if __name__ == "__main__":
    asyncio.run(main())
