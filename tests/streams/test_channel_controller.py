"""A channel whose other end is in the same program. The rest of it: see ``test_contract.py``."""

from __future__ import annotations

import pytest

from cwschannel.exceptions import BackPressureError
from cwschannel.streams.channel_controller import StreamChannelController


async def test_what_is_added_to_one_end_comes_out_of_the_other() -> None:
    controller = StreamChannelController[str]()
    controller.local.sink.add("to foreign")
    controller.foreign.sink.add("to local")
    assert await controller.foreign.stream.first() == "to foreign"
    assert await controller.local.stream.first() == "to local"


@pytest.mark.parametrize("allowed", [False, True])
async def test_errors_of_the_foreign_end_are_forwarded_only_where_that_is_allowed(allowed: bool) -> None:
    controller = StreamChannelController[str](allow_foreign_errors=allowed)
    error = KeyError("foreign")
    controller.local.sink.add_error(KeyError("local"))
    with pytest.raises(KeyError, match="local"):
        await controller.foreign.stream.first()
    controller.foreign.sink.add_error(error)
    if allowed:
        with pytest.raises(KeyError, match="foreign"):
            await controller.local.stream.first()
        controller.foreign.sink.add("after it")
        assert await controller.local.stream.first() == "after it"
    else:
        assert await controller.local.stream.to_list() == []
        with pytest.raises(KeyError, match="foreign"):
            await controller.foreign.sink.done
        await controller.local.sink.done


async def test_with_sync_a_listener_is_called_within_add() -> None:
    controller = StreamChannelController[int](sync=True)
    got: list[object] = []
    controller.foreign.stream.listen(got.append, on_done=lambda: got.append("done"))
    controller.local.sink.add(1)
    assert got == [1]
    controller.local.sink.close()
    assert got == [1, "done"]


async def test_with_sync_both_ends_may_answer_within_a_callback() -> None:
    controller = StreamChannelController[int](sync=True)
    log: list[tuple[str, int]] = []

    def there(item: int) -> None:
        log.append(("foreign", item))
        controller.foreign.sink.add(item + 1)

    def back(item: int) -> None:
        log.append(("local", item))
        if item < 7:
            controller.local.sink.add(item + 1)
        else:
            controller.local.sink.close()

    controller.foreign.stream.listen(there)
    controller.local.stream.listen(back)
    controller.local.sink.add(0)
    assert log == [("foreign" if number % 2 == 0 else "local", number) for number in range(8)]


async def test_the_bounds_hold_each_way() -> None:
    controller = StreamChannelController[int](pause_at=1, max_waiting=2)
    for end in (controller.local, controller.foreign):
        end.sink.add(1)
        end.sink.add(2)
        with pytest.raises(BackPressureError, match="max_waiting is 2"):
            end.sink.add(3)
