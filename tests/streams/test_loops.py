"""Which event loop the running code belongs to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwschannel.streams.loops import current_loop, foreign_loop, waiter_of
from cwschannel.streams.waiter import Waiter


class StandIn:
    """As much of a loop as is asked for here."""

    def make_waiter(self) -> str:
        return "a waiter of its own"


async def test_it_is_the_one_that_runs() -> None:
    assert current_loop() is asyncio.get_running_loop()


def test_without_one_the_error_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="within coroutines"):
        current_loop()


def test_a_stand_in_is_taken_where_none_runs() -> None:
    stand_in: Any = StandIn()
    token = foreign_loop.set(stand_in)
    try:
        assert current_loop() is stand_in
        assert waiter_of(stand_in)() == "a waiter of its own"  # type: ignore[comparison-overlap]
    finally:
        foreign_loop.reset(token)


async def test_a_loop_that_runs_comes_before_a_stand_in() -> None:
    token = foreign_loop.set(StandIn())
    try:
        assert current_loop() is asyncio.get_running_loop()
        assert type(waiter_of(current_loop())()) is Waiter
    finally:
        foreign_loop.reset(token)
