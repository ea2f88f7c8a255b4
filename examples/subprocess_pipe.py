"""A WebSocket over the standard input and output of a child process: ``python subprocess_pipe.py``.

There is no socket and no opening handshake: both ends know what they speak. The child answers each message in capital
letters; the parent prints the answers, the close code that came from the child, and the child's exit status. Ends by itself.

The child must not print: its standard output is the WebSocket.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE

from cwschannel import WebSocketChannel, byte_channels, status


async def child() -> None:
    async with WebSocketChannel(await byte_channels.from_stdio()) as channel:  # the server's end
        async for message in channel.stream:
            await channel.send(message.upper())
            if message == "bye":
                await channel.sink.close(status.GOING_AWAY, "bye")


async def parent() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, "child", stdin=PIPE, stdout=PIPE)
    channel = WebSocketChannel(byte_channels.from_process(process), server_side=False)
    channel.sink.add("hello")
    channel.sink.add("bye")
    async for message in channel.stream:
        print(message)
    print(channel.close_code, channel.close_reason)
    print("the child ended with", await process.wait())


if __name__ == "__main__":
    asyncio.run(child() if sys.argv[1:] == ["child"] else parent())
