"""What a candidate is: a library used in one way. A file in candidates/ says how to connect, send, receive, serve and close;
the exchanges themselves are run here, by callback, by ``await`` or blocking, the same for all.

Every candidate hands the application each message as ``str`` or ``bytes``, and is used as its own documentation shows.
Without compression and keepalive, with limits that let the largest message through, and otherwise with its defaults.
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Awaitable, Callable
from importlib import import_module
from typing import Any, ClassVar

from .lines import Unavailable
from .wire import Work

LARGEST = 2**25  # bytes in a message that every candidate has to let through
# asyncio allocates 256 KiB for each read of a plain Protocol, and glibc asks the system for so much each time, until a
# program happens to free it. That doubles the CPU time of websockets in some programs and not in others: here, in none.
# The thresholds are above the largest message: 16 MiB asked for anew each time are 4096 page faults.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "134217728"}

Message = str | bytes
Receive = Callable[[Any], object]


class Adaptor:
    """One connection of a client, or one server.

    Attributes:
        loops: what it runs on.
        requires: the module that it uses.
        packages: the distributions whose versions are told.
        environment: the variables that its process is started with.
        ours: whether it is cwschannel.
        pure: whether it does without compiled code, and is compared with its like alone.
        server, fans: whether it has a server, and can send one message to all.
        work: what to do with the connections that come.
        tls: the TLS settings, if there is to be TLS.
    """

    loops: ClassVar[tuple[str, ...]] = ("asyncio", "uvloop")
    requires: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[dict[str, str]] = {}
    ours: ClassVar[bool] = False
    pure: ClassVar[bool] = False
    server: ClassVar[bool] = True
    fans: ClassVar[bool] = False

    def __init__(self, work: Work, tls: Any = None) -> None:
        self.work = work
        self.tls = tls
        self.last: Any = None

    @classmethod
    def check(cls) -> str:
        """Import what it needs, and say which kind of it that is, if there are several.

        Raises:
            Unavailable: it cannot take part.
        """
        if cls.requires:
            try:
                import_module(cls.requires)
            except ImportError as error:
                raise Unavailable(f"{cls.requires} cannot be imported: {error}") from error
        return ""

    def judge(self) -> None:
        """See that the message received last is what it should be."""
        kind, size = (str, self.work.size) if self.work.text else (bytes, self.work.size)
        if not isinstance(self.last, kind) or len(self.last) != size:
            raise RuntimeError(f"received {type(self.last).__name__} of {len(self.last)}, not {kind.__name__} of {size}")


class Asynchronous(Adaptor, ABC):
    """Those with an event loop."""

    @abstractmethod
    async def open(self, uri: str) -> None: ...

    @abstractmethod
    async def run(self, trips: int) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def serve(self) -> int:
        """Listen on a free port of 127.0.0.1 and return it."""
        raise Unavailable("it has no server")

    def broadcast(self, message: Any) -> Awaitable[None] | None:
        """Send a message to all connections of the server."""
        raise Unavailable("it sends to one connection at a time")


class ByCallback(Asynchronous):
    """Those that call a function for each message: a client calls ``received``, a server what ``accept`` returned."""

    add: Callable[[Any], object]  # sends a message; set by open()
    _trips = 0

    async def run(self, trips: int) -> None:
        self._message = self.work.message()
        self._burst = range(self.work.take)
        self._trips = trips
        self._done = asyncio.get_running_loop().create_future()
        self._send()
        await self._done
        self.judge()

    def _send(self) -> None:
        add, message = self.add, self._message
        for _ in self._burst:
            add(message)

    @functools.cached_property
    def received(self) -> Receive:
        """What is to be called with each message. A closure: what it costs is added to what each candidate costs."""
        missing = give = self.work.give

        def received(message: object) -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                missing = give
                self._trips -= 1
                if self._trips > 0:
                    self._send()
                elif not self._trips:  # a close frame that comes without a run is nobody's
                    self.last = message
                    self._done.set_result(None)

        return received

    def accept(self, add: Callable[[Any], object]) -> Receive:
        """Return what is to be called with each message of a new connection, on which ``add`` sends."""
        work, message = self.work, self.work.message()
        if work.fan:
            return lambda _: self.broadcast(message)
        if work.take == work.give:

            def echo(message: Any) -> None:
                add(message)

            return echo
        missing, burst = work.take, range(work.give)

        def count(_: object) -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                missing = work.take
                for _ in burst:
                    add(message)

        return count


class ByAwait(Asynchronous):
    """Those that are awaited for each message. A server awaits ``answer`` for each connection."""

    send: Callable[[Any], Awaitable[object]]  # set by open(), as is recv
    recv: Callable[[], Awaitable[Any]]

    async def run(self, trips: int) -> None:
        message, burst, answers = self.work.message(), range(self.work.take), range(self.work.give)
        send, recv = self.send, self.recv
        for _ in range(trips):
            for _ in burst:
                await send(message)
            for _ in answers:
                self.last = await recv()
        self.judge()

    async def answer(self, messages: AsyncIterable[Any], send: Callable[[Any], Awaitable[object]]) -> None:
        work, message = self.work, self.work.message()
        if work.fan:
            async for _ in messages:
                done = self.broadcast(message)
                if done is not None:
                    await done
        elif work.take == work.give:
            async for received in messages:
                await send(received)
                received = None  # noqa: PLW2901  # or a large message that is kept would be kept by us
        else:
            missing, burst = work.take, range(work.give)
            async for _ in messages:
                missing -= 1
                if not missing:
                    missing = work.take
                    for _ in burst:
                        await send(message)


class Blocking(Adaptor, ABC):
    """Those that block. Clients only."""

    loops = ("blocking",)
    server = False
    send: Callable[[Any], object]  # set by open(), as is recv
    recv: Callable[[], Any]

    @abstractmethod
    def open(self, uri: str) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def run(self, trips: int) -> None:
        message, take, give = self.work.message(), self.work.take, self.work.give
        send, recv = self.send, self.recv
        if take == give == 1:  # what the loops cost is added to what each candidate costs
            for _ in range(trips):
                send(message)
                received = recv()
        else:
            burst, answers = range(take), range(give)
            for _ in range(trips):
                for _ in burst:
                    send(message)
                for _ in answers:
                    received = recv()
        self.last = received
        self.judge()
