"""How ``connect()`` begins."""

from __future__ import annotations

import asyncio
from typing import Any

import cwschannel

from .running import each_loop, serving


@each_loop
async def test_connect_returns_before_the_connection_is_open() -> None:
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri)
        assert channel.close_code is None
        assert repr(channel).endswith("opening>")
        channel.sink.add("early")
        assert await channel.recv() == "early"
        await channel.sink.close()


@each_loop
async def test_connect_can_be_called_where_no_task_runs() -> None:
    loop = asyncio.get_running_loop()
    made: asyncio.Future[cwschannel.IOWebSocketChannel] = loop.create_future()
    async with serving() as (_, uri):
        loop.call_soon(lambda: made.set_result(cwschannel.connect(uri)))
        async with await made as channel:
            channel.sink.add("x")
            assert await channel.recv() == "x"


@each_loop
async def test_the_task_of_an_opening_is_made_by_the_loops_own_factory_if_it_has_one() -> None:
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    async with serving() as (_, uri):
        loop.set_task_factory(factory)
        try:
            async with cwschannel.connect(uri):
                pass
        finally:
            loop.set_task_factory(None)
    assert "_run" in made
