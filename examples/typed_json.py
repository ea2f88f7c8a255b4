"""Typed channels over JSON: ``python typed_json.py``.

The server understands moves on a board. The first client sends what JSON can say, and the second one objects, of a type that
``msgspec`` or ``pydantic`` knows (either has to be installed for that half). Prints what the server makes of each, and what
becomes of text that is no move.
"""

import asyncio
import importlib.util
from dataclasses import dataclass
from typing import Any

import cwschannel
from cwschannel import StreamChannelTransformer, json_document, msgspec_document, pydantic_document


@dataclass
class Move:
    piece: str
    to: str


def moves() -> StreamChannelTransformer[Move, Any]:
    """Return what turns a channel of text into one of moves."""
    return msgspec_document(Move) if importlib.util.find_spec("msgspec") else pydantic_document(Move)


async def plain(channel: cwschannel.IOWebSocketChannel) -> None:
    documents = channel.transform(json_document).cast(dict)  # to a type checker, a StreamChannel[dict]
    documents.stream.listen(
        lambda document: documents.sink.add({"seen": document["piece"]}),
        on_error=lambda error: documents.sink.add({"error": type(error).__name__}),  # the stream goes on after it
    )
    await documents.sink.done


async def typed(channel: cwschannel.IOWebSocketChannel) -> None:
    board = channel.transform(moves())
    async for move in board.stream:
        await board.sink.wait_for_room()
        board.sink.add(Move(move.piece, move.to.upper()))


async def main() -> None:
    async with (
        cwschannel.serve(plain, "localhost", 0) as server,
        cwschannel.connect(f"ws://localhost:{server.port}") as channel,
    ):
        documents = channel.transform(json_document).cast(dict)
        documents.sink.add({"piece": "queen", "to": "e4"})
        print(await documents.stream.first())
        try:
            documents.sink.add(["queen", "e4"])  # type: ignore[arg-type]
        except TypeError as error:
            print(error)
        channel.sink.add('["queen", "e4"]')  # as a client that knows nothing of types
        print(await documents.stream.first())

    if not (importlib.util.find_spec("msgspec") or importlib.util.find_spec("pydantic")):
        print("install msgspec or pydantic to see the other half")
        return
    async with (
        cwschannel.serve(typed, "localhost", 0) as server,
        cwschannel.connect(f"ws://localhost:{server.port}") as channel,
    ):
        board = channel.transform(moves())
        board.sink.add(Move("queen", "e4"))
        print(await board.stream.first())


if __name__ == "__main__":
    asyncio.run(main())
