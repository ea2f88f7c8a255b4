"""The process of one candidate: ``python bench/child.py NAME LOOP CERTIFICATES``. Says what it is, then answers requests."""

from __future__ import annotations

import gc
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))  # behind the installed package, which is what is measured

from bench import candidates, lines, tls
from bench.adaptor import Adaptor, Asynchronous, Blocking
from bench.clock import Timed
from bench.wire import Work

Answer = dict[str, Any]


class Child:
    """What it can be asked for."""

    def __init__(self, kind: type[Adaptor], certificates: str) -> None:
        self._kind = kind
        self._certificates = certificates
        self._client: Any = None
        self._servers: dict[bool, tuple[Any, int]] = {}
        self._held: list[Any] = []

    def introduce(self) -> Answer:
        """Load the library, and say what takes part."""
        versions = {}
        what = self._kind.check()
        for name in self._kind.packages:
            try:
                versions[name] = version(name) + (f" ({what})" if what and name == self._kind.packages[0] else "")
            except PackageNotFoundError:
                versions[name] = what or "not installed"
        return {"versions": versions}

    def make_client(self, work: Answer, secure: bool) -> Any:
        context = tls.client_context(self._certificates) if secure else None
        return self._kind(Work(**work), context)


class AsynchronousChild(Child):
    async def handle(self, request: Answer) -> Answer:
        return await getattr(self, "do_" + request.pop("op"))(**request) or {}

    async def do_connect(self, uri: str, secure: bool, work: Answer) -> None:
        self._client = self.make_client(work, secure)
        await self._client.open(uri)

    async def do_run(self, count: int) -> Answer:
        gc.collect()
        with Timed() as timed:
            await self._client.run(count)
        return timed.answer

    async def do_open(self, uri: str, count: int, work: Answer) -> Answer:
        """Open and close connections, one after the other."""
        client = self.make_client(work, False)
        gc.collect()
        with Timed() as timed:
            for _ in range(count):
                await client.open(uri)
                await client.close()
        return timed.answer

    async def do_close(self) -> None:
        client, self._client = self._client, None
        await client.close()

    async def do_serve(self, secure: bool, work: Answer) -> Answer:
        """Serve, if it is not done already, and give the connections from now on this work."""
        if secure not in self._servers:
            server = self._kind(Work(**work), tls.server_context(self._certificates) if secure else None)
            assert isinstance(server, Asynchronous)
            self._servers[secure] = server, await server.serve()
        server, port = self._servers[secure]
        server.work = Work(**work)
        if server.work.fan:
            done = server.broadcast("")  # without a connection: it can, or says why not
            if done is not None:
                await done
        gc.collect()
        return {"port": port}

    async def do_resident(self) -> Answer:
        gc.collect()
        return {"resident": lines.resident()}


class BlockingChild(Child):
    """The same without a loop."""

    def handle(self, request: Answer) -> Answer:
        return getattr(self, "do_" + request.pop("op"))(**request) or {}

    def do_connect(self, uri: str, secure: bool, work: Answer) -> None:
        self._client = self.make_client(work, secure)
        self._client.open(uri)

    def do_run(self, count: int) -> Answer:
        gc.collect()
        with Timed() as timed:
            self._client.run(count)
        return timed.answer

    def do_open(self, uri: str, count: int, work: Answer) -> Answer:
        client = self.make_client(work, False)
        gc.collect()
        with Timed() as timed:
            for _ in range(count):
                client.open(uri)
                client.close()
        return timed.answer

    def do_hold(self, uri: str, count: int, work: Answer) -> Answer:
        """Open so many connections, or as many more as are missing, and leave them alone."""
        while len(self._held) < count:
            self._held.append(self.make_client(work, False))
            self._held[-1].open(uri)
        gc.collect()
        return {"resident": lines.resident(), "threads": threading.active_count()}

    def do_close(self) -> None:
        client, self._client = self._client, None
        client.close()


def main(name: str, loop: str, certificates: str) -> None:
    write = lines.prepare()
    kind = candidates.load()[name]
    try:
        if issubclass(kind, Blocking):
            blocking = BlockingChild(kind, certificates)
            write(blocking.introduce())
            lines.answer_lines_blocking(write, blocking.handle)
        else:
            child = AsynchronousChild(kind, certificates)

            async def answer() -> None:
                write(child.introduce())
                await lines.answer_lines(write, child.handle)

            lines.run(loop, answer)
    except Exception as error:
        write(lines.failure(error))
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
