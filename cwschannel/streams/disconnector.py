"""Cutting channels off from outside."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
from weakref import WeakSet

from .channel import StreamChannel
from .completion import Repeatable
from .guarantees import GuaranteeChannel
from .transformer import StreamChannelTransformer

__all__ = ["Disconnector"]

T = TypeVar("T")


class Disconnector(StreamChannelTransformer[T, T]):
    """Bound to channels, by ``channel.transform(disconnector)``, it can disconnect them all.

    For the users of a bound channel that is as if the other end had closed; the channel below is closed.
    """

    __slots__ = ("_channels", "_disconnected")

    def __init__(self) -> None:
        self._channels: WeakSet[_Disconnectable[T]] = WeakSet()
        self._disconnected = False

    @property
    def is_disconnected(self) -> bool:
        """Whether ``disconnect`` was called. A channel that is bound from then on is disconnected at once."""
        return self._disconnected

    def bind(self, channel: StreamChannel[T]) -> StreamChannel[T]:
        """Return a channel over ``channel`` that can be disconnected."""
        bound: _Disconnectable[T] = _Disconnectable(channel.stream, channel.sink)
        if self._disconnected:
            bound.disconnect()
        else:
            self._channels.add(bound)
        return bound

    def disconnect(self) -> Awaitable[None]:
        """Disconnect all channels. Takes effect at once; the result ends when all channels below are closed.

        If closing some of them failed, it ends with the first of the errors.
        """
        self._disconnected = True
        endings = [channel.disconnect() for channel in list(self._channels)]

        async def wait_for_all() -> None:
            errors = []
            for ending in endings:
                try:
                    await ending
                except Exception as error:
                    errors.append(error)
            if errors:
                raise errors[0]

        return Repeatable(wait_for_all)


class _Disconnectable(GuaranteeChannel[T]):
    __slots__ = ("__weakref__",)
