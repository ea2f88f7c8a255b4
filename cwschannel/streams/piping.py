"""Two channels connected with each other."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from ..exceptions import ChannelStateError, ConnectionClosed, OpeningFailed
from .channel import StreamChannel
from .completion import Completion
from .loops import Handle, current_loop

__all__ = ["pipe"]

T = TypeVar("T")


def pipe(one: StreamChannel[T], other: StreamChannel[T]) -> Awaitable[None]:
    """Begin to carry items between them, both ways. The result ends with the second direction."""
    loop = current_loop()
    tasks: set[Handle] = set()
    open_directions = 2
    done = Completion()

    async def carry(source: StreamChannel[T], target: StreamChannel[T]) -> None:
        nonlocal open_directions
        try:
            await _carry(source, target)
        finally:
            open_directions -= 1
            if not open_directions:
                tasks.clear()
                done.finish()

    # Somebody has to keep the tasks: the loop does not.
    tasks.update(loop.create_task(carry(*ends)) for ends in ((one, other), (other, one)))
    return done


async def _carry(source: StreamChannel[T], target: StreamChannel[T]) -> None:
    while True:
        try:
            await target.sink.add_stream(source.stream)
            break
        except (ConnectionClosed, OpeningFailed):  # of the source
            break
        except ChannelStateError:  # somebody else closed the target, or uses it; or reads the source
            return
        except Exception as error:  # an error among the items; after it the stream goes on, or ends
            try:
                target.sink.add_error(error)
            except ChannelStateError:
                return
    try:
        await target._close_like(source)
    except Exception:  # somebody else uses the target; or it was closed by an error, for whoever asks `done`
        return
