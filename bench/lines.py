"""How the processes of the bench talk: a line of JSON asks, a line of JSON answers."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

LONGEST = 100  # seconds that one answer may take
STUCK = 120  # seconds after which a process that does not even notice that ends, and shows where it was

Handle = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Unavailable(Exception):
    """A candidate cannot take part. The text says why."""


def prepare() -> Callable[[dict[str, Any]], None]:
    """Make ready for many connections. Returns what writes an answer; what libraries print goes to standard error."""
    import resource  # which not every system has

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return lambda answer: print(json.dumps(answer), file=answers, flush=True)


def failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, Unavailable):
        return {"unavailable": str(error)}
    return {"error": "".join(traceback.format_exception_only(error)).strip(), "trace": traceback.format_exc()}


async def answer_lines(write: Callable[[dict[str, Any]], None], handle: Handle) -> None:
    """Answer what comes on standard input, with the loop running all the time, until it ends."""
    loop = asyncio.get_running_loop()
    requests: asyncio.Queue[bytes] = asyncio.Queue()
    rest = b""

    def readable() -> None:
        nonlocal rest
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            requests.put_nowait(line)

    loop.add_reader(0, readable)
    while True:
        request = json.loads(await requests.get())
        faulthandler.dump_traceback_later(STUCK, exit=True)
        try:
            async with asyncio.timeout(LONGEST):
                result = await handle(request)
        except Exception as error:  # the candidate's, which the others need not suffer from
            result = failure(error)
        faulthandler.cancel_dump_traceback_later()
        write(result)


def answer_lines_blocking(
    write: Callable[[dict[str, Any]], None], handle: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The same without a loop."""
    for line in sys.stdin:
        faulthandler.dump_traceback_later(STUCK, exit=True)
        try:
            result = handle(json.loads(line))
        except Exception as error:
            result = failure(error)
        faulthandler.cancel_dump_traceback_later()
        write(result)
    os._exit(0)


def run(loop: str, main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function on the loop of that name."""
    factory = None
    if loop == "uvloop":
        try:
            import uvloop
        except ImportError as error:
            raise Unavailable("uvloop is not installed") from error
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())  # type: ignore[arg-type]


def resident() -> int:
    """Return how many bytes of this process are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
