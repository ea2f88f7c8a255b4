"""A chat: two logical channels, of what is said and of who is there, on the one WebSocket of each guest.

The server, until Ctrl-C: ``python multi_channel_chat.py serve [PORT]``

A guest, who types lines until the end of the input (Ctrl-D) or Ctrl-C: ``python multi_channel_chat.py join URI NAME``

A guest sees ``* ann is here`` and ``* ann has left`` from one channel, and ``ann: hello`` from the other.
"""

import asyncio
import sys
import threading
from dataclasses import dataclass
from typing import Any

import cwschannel
from cwschannel import BackPressureError, ChannelStateError, MultiChannel, StreamController, VirtualChannel, json_document


@dataclass(eq=False)
class Guest:
    channel: cwschannel.IOWebSocketChannel
    talk: VirtualChannel[Any]
    people: VirtualChannel[str]


guests: list[Guest] = []


def tell(guest: Guest, channel: VirtualChannel[Any], what: Any) -> None:
    try:
        channel.sink.add(what)
    except BackPressureError:  # it does not read, which is nobody else's trouble
        guest.channel.abort()


async def serve_guest(channel: cwschannel.IOWebSocketChannel) -> None:
    multi = MultiChannel[Any](channel.transform(json_document))
    talk, people = multi.virtual_channel(), multi.virtual_channel()
    multi.sink.add({"talk": talk.id, "people": people.id})  # on the main channel: how the other end gets its sides
    try:
        name = await people.stream.first()
    except ChannelStateError:
        return  # gone before it said its name
    me = Guest(channel, talk, people)
    guests.append(me)
    for guest in guests:
        tell(guest, guest.people, f"{name} is here")
    try:
        async for text in talk.stream:
            for guest in guests:
                if guest is not me:
                    tell(guest, guest.talk, [name, text])
    finally:
        guests.remove(me)
        for guest in guests:
            tell(guest, guest.people, f"{name} has left")


async def serve(port: int) -> None:
    async with cwschannel.serve(serve_guest, "localhost", port) as server:
        print(f"listening on ws://localhost:{server.port}", flush=True)
        await server.serve_forever()


async def join(uri: str, name: str) -> None:
    async with cwschannel.connect(uri) as channel:
        multi = MultiChannel[Any](channel.transform(json_document))
        ids = await multi.stream.first()
        talk, people = multi.virtual_channel(ids["talk"]), multi.virtual_channel(ids["people"])
        people.stream.listen(lambda news: print(f"* {news}", flush=True))
        talk.stream.listen(lambda said: print(f"{said[0]}: {said[1]}", flush=True))
        people.sink.add(name)
        typed_lines().stream.listen(talk.sink.add, on_done=talk.sink.close)
        await talk.sink.done  # closed by us, or because the server has gone


def typed_lines() -> StreamController[str]:
    """Return what a thread fills with the lines of the standard input."""
    lines: StreamController[str] = StreamController()
    loop = asyncio.get_running_loop()

    def read() -> None:
        with open(0, closefd=False, encoding="utf-8") as stdin:
            for line in stdin:
                loop.call_soon_threadsafe(lines.add, line.rstrip("\n"))
        loop.call_soon_threadsafe(lines.close)

    threading.Thread(target=read, daemon=True).start()
    return lines


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["serve", *port]:
                asyncio.run(serve(int(port[0]) if port else 8765))
            case ["join", uri, name]:
                asyncio.run(join(uri, name))
            case _:
                sys.exit(__doc__)
    except KeyboardInterrupt:
        pass
