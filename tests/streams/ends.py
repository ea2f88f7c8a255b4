"""What the tests of the contract do with channels of every kind: see ``contract``."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cwschannel.channels.socket_channel import SocketWebSocketChannel
from cwschannel.channels.socket_transformed import TransformedSocketChannel
from cwschannel.exceptions import ChannelStateError
from cwschannel.streams.channel import StreamChannel

from ..channels.running import until

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Awaitable, Callable, Iterable

Channels = tuple[StreamChannel[Any], StreamChannel[Any]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of channel.

    Attributes:
        open: makes both ends of one.
        item: makes the item for a number, of about so many bytes if the kind has bytes.
        number: the number of an item.
        merges: whether items are chunks that may arrive cut and joined anywhere.
        forwards_errors: whether ``add_error`` forwards an error; else it closes the channel.
        wire: whether there is something of the operating system in between. It runs on every event loop then.
        holds_back: whether a reader who does not read holds back the sender in the end.
        large: bytes of an item, so that a few hundred are more than may wait.
        blocks: whether one of the ends blocks. That one has no callbacks, and nothing of it can be awaited.
        answers: whether the far end answers while nobody is in it. One that blocks does so with a thread of its own only.
    """

    name: str
    open: Callable[[], contextlib.AbstractAsyncContextManager[Channels]]
    item: Callable[[int, int], Any]
    number: Callable[[Any], int]
    merges: bool = False
    forwards_errors: bool = True
    wire: bool = False
    holds_back: bool = True
    large: int = 0
    blocks: bool = False
    answers: bool = True

    def numbers(self, items: list[Any]) -> list[int]:
        """Of what has arrived."""
        if self.merges:
            return [int(number) for number in re.findall(rb"(\d{6});", b"".join(items))]
        return [self.number(item) for item in items]


class End:
    """One end, for a test that speaks in numbers."""

    def __init__(self, kind: Kind, channel: StreamChannel[Any]) -> None:
        self.kind = kind
        self.channel = channel
        self.stream = channel.stream
        self.sink = channel.sink
        self.unread: list[int] = []  # that came in one chunk with those that were read

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.sink.add(self.kind.item(number, 0))

    def add_error(self, error: Exception) -> None:
        self.sink.add_error(error)

    async def add_all(self, numbers: Iterable[int], *, size: int = 0) -> None:
        await self.sink.add_stream(self.kind.item(number, size) for number in numbers)

    async def read(self, count: int) -> list[int]:
        """So many numbers; fewer if the stream ends."""
        numbers, items = self.unread, []
        self.unread = []
        if len(numbers) < count:
            async for item in self.stream:
                items.append(item)
                if len(numbers) + len(self.kind.numbers(items)) >= count:
                    break
        numbers += self.kind.numbers(items)
        self.unread = numbers[count:]
        return numbers[:count]

    async def read_all(self) -> list[int]:
        """Until the end."""
        numbers, self.unread = self.unread, []
        return numbers + self.kind.numbers([item async for item in self.stream])

    def start_closing(self) -> Awaitable[Any]:
        """Close, and wait for the end of it when that is awaited."""
        return self.sink.close()

    async def close(self) -> None:
        await self.start_closing()

    async def reads(self) -> None:
        """Return once the reading of a task that was just started has begun."""
        await asyncio.sleep(0)

    async def wait_for_room(self) -> None:
        await self.sink.wait_for_room()

    async def done(self) -> None:
        await self.sink.done

    async def flush(self) -> None:
        await self.sink.flush()


class BlockingEnd(End):
    """One end that blocks: threads wait in it. They end with the channel, so no test may cancel what awaits them."""

    def __init__(self, kind: Kind, channel: SocketWebSocketChannel | TransformedSocketChannel[Any]) -> None:
        super().__init__(kind, channel)  # type: ignore[arg-type]
        self._blocking: Any = channel
        self._loop = asyncio.get_running_loop()
        self._threads = concurrent.futures.ThreadPoolExecutor(4)
        while isinstance(channel, TransformedSocketChannel):
            channel = channel._below
        self._base = channel

    def add_error(self, error: Exception) -> None:
        if self._base.sink._closed:
            self._blocking.sink.add_error(error)
        self._start(self._blocking.sink.add_error, error)

    async def add_all(self, numbers: Iterable[int], *, size: int = 0) -> None:
        items = (self.kind.item(number, size) for number in numbers)
        await asyncio.to_thread(self._blocking.sink.add_stream, items)

    async def read(self, count: int) -> list[int]:
        return await asyncio.to_thread(lambda: self.kind.numbers(list(itertools.islice(self._blocking.stream, count))))

    async def read_all(self) -> list[int]:
        return await asyncio.to_thread(lambda: self.kind.numbers(list(self._blocking.stream)))

    def start_closing(self) -> Awaitable[Any]:
        return self._start(self._blocking.sink.close)

    async def reads(self) -> None:
        await until(lambda: self._base._io._receives or self._base._io._following)

    async def wait_for_room(self) -> None: ...

    async def done(self) -> None:
        await asyncio.to_thread(self._blocking.sink.wait_done)

    async def flush(self) -> None:
        self._blocking.sink.flush()

    def _start(self, close: Callable[..., object], *arguments: Any) -> Awaitable[Any]:
        """Have a thread close the channel. Returns when that has taken effect, or was refused, what awaits the rest."""
        closing: concurrent.futures.Future[Any] = self._threads.submit(close, *arguments)
        while not self._base.sink._closed and not closing.done():
            time.sleep(0.0005)
        if closing.done() and isinstance(closing.exception(), ChannelStateError):
            closing.result()
        return asyncio.wrap_future(closing, loop=self._loop)


class Listener:
    """The callbacks of ``listen``, and what they were called with."""

    def __init__(self, end: End, *, cancel_on_error: bool = False) -> None:
        self.end = end
        self.items: list[Any] = []
        self.log: list[Any] = []  # with the errors among the items, and "done"
        self.at: Callable[[], object] = lambda: None  # what to do at each item
        self.subscription = end.stream.listen(
            self._on_data, on_error=self.log.append, on_done=lambda: self.log.append("done"), cancel_on_error=cancel_on_error
        )

    def _on_data(self, item: Any) -> None:
        self.items.append(item)
        self.log.append(item)
        self.at()

    @property
    def numbers(self) -> list[int]:
        return self.end.kind.numbers(self.items)

    @property
    def done(self) -> bool:
        return "done" in self.log


@dataclass
class Pair:
    """What a test is given. ``problems`` is what the loop's exception handler was called with."""

    kind: Kind
    near: End
    far: End
    problems: list[dict[str, Any]]


def end_of(kind: Kind, channel: Any) -> End:
    """Return what a test is given for one end of a channel."""
    blocks = isinstance(channel, (SocketWebSocketChannel, TransformedSocketChannel))
    return (BlockingEnd if blocks else End)(kind, channel)
