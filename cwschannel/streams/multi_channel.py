"""Several channels over one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable
from typing import Any, Final, Literal, TypeVar

from ..exceptions import BackPressureError, ChannelStateError, MultiChannelError
from .channel import StreamChannel
from .completion import Completion
from .controlled import ControlledStream
from .loops import current_loop
from .sink import RuledSink
from .stream import StreamSubscription

__all__ = ["MultiChannel", "VirtualChannel"]

T = TypeVar("T")

_MOST_CLOSED_REMEMBERED: Final = 4096


class VirtualChannel(StreamChannel[T]):
    """One of the channels of a ``MultiChannel``.

    Attributes:
        id: what the other end passes to ``virtual_channel`` to get its side of a channel that was made here.
    """

    __slots__ = ("_virtual_sink", "_virtual_stream", "id")

    def __init__(self, multi: MultiChannel[Any], input_id: int, output_id: int) -> None:
        self.id = output_id
        self._virtual_stream: ControlledStream[T] = ControlledStream(current_loop(), self._on_demand)
        self._virtual_sink: _VirtualSink[T] = _VirtualSink(multi, self._virtual_stream, input_id, output_id)
        super().__init__(self._virtual_stream, self._virtual_sink)

    def __repr__(self) -> str:
        return f"<VirtualChannel {self.id} {'closed' if self._virtual_sink._is_gone() else 'open'}>"

    def _on_demand(self, wanted: bool) -> None:
        if wanted:
            self._virtual_stream.held_back = False
        self._virtual_sink.multi.settle()


class _VirtualSink(RuledSink[T]):
    """Adds to the channel below, with the id in front."""

    __slots__ = ("_done", "_gone", "_input_id", "_output_id", "_stream", "multi")

    def __init__(self, multi: MultiChannel[Any], stream: ControlledStream[T], input_id: int, output_id: int) -> None:
        super().__init__()
        self.multi = multi
        self._stream = stream
        self._input_id = input_id
        self._output_id = output_id
        self._gone = False
        self._done = Completion()

    @property
    def done(self) -> Awaitable[None]:
        return self._done

    async def wait_for_room(self) -> None:
        if not self._gone:
            await self.multi.inner.sink.wait_for_room()

    def flush(self) -> Awaitable[None]:
        return self.multi.inner.sink.flush()

    def end(self, error: Exception | None = None) -> None:
        """Neither side of it will add any more."""
        if not self._gone:
            self._gone = True
            self._stream.finish()
            self._done.finish(error)

    def _is_gone(self) -> bool:
        return self._gone

    def _put(self, item: T) -> None:
        if not self._gone:
            self.multi.send(self._output_id, item)

    def _put_error(self, error: Exception) -> None:
        self._finish(error)  # the format has no place for errors

    def _finish(self, error: Exception | None = None) -> None:
        self._stream.discard()
        if not self._gone:
            self.end(error)
            self.multi.close_channel(self._input_id, self._output_id)


class MultiChannel(StreamChannel[T]):
    """Several channels over one: itself, and those that ``virtual_channel`` returns.

    ::

        multi = MultiChannel(channel.transform(json_document))
        news = multi.virtual_channel()      # a new channel ...
        multi.sink.add(news.id)             # ... of which the other end is told,
        ...
        news = multi.virtual_channel(await multi.stream.first())      # where this gives its other side

    The format is that of ``MultiChannel`` in Dart's ``stream_channel``, so the other end can be a Dart program. The channel
    below carries lists: ``[id, item]`` is an item, ``[id]`` says that its sender has closed that channel, which the receiver
    answers with its own. The channel that a ``MultiChannel`` itself is has id 0. For the others each end counts 1, 3, 5 and
    so on, and so that the two counts never meet, what goes back on a channel bears its id plus 1: an odd id stands on what
    comes from the end that made the channel, the even one after it on what goes there. When all channels are closed, the
    channel below is.

    Args:
        inner: the channel below; it is used by nobody else.
        max_waiting: how many items may wait unread for one channel; all channels together that nobody here has asked for
            yet count as one.
        on_full: what happens when more do: ``"pause"`` reads nothing more from the channel below until they are read (all
            channels wait for that one then); ``"close"`` closes the channel with ``BackPressureError``. Channels that nobody
            here has asked for are closed in any case.
        max_pending: how many channels the other end may have begun for which nobody here has asked yet; with more, all are
            closed with ``MultiChannelError``.

    An error of the channel below, such as a text that is no JSON, comes out of the stream of the ``MultiChannel`` itself.
    """

    __slots__ = (
        "_channels",
        "_closed_ids",
        "_max_pending",
        "_max_waiting",
        "_next_id",
        "_on_full",
        "_open",
        "_paused",
        "_pending",
        "_subscription",
        "inner",
    )

    def __init__(
        self,
        inner: StreamChannel[Any],
        *,
        max_waiting: int = 1024,
        on_full: Literal["pause", "close"] = "pause",
        max_pending: int = 256,
    ) -> None:
        if on_full not in ("pause", "close"):
            raise ValueError(f"on_full is 'pause' or 'close', not {on_full!r}")
        if max_waiting < 1 or max_pending < 0:
            raise ValueError(f"max_waiting is at least 1 and max_pending 0, not {max_waiting} and {max_pending}")
        self.inner = inner
        self._max_waiting = max_waiting
        self._on_full = on_full
        self._max_pending = max_pending
        self._next_id = 1
        self._open = True
        self._paused = False
        self._pending: set[int] = set()  # begun by the other end, and not asked for here
        self._closed_ids: OrderedDict[int, None] = OrderedDict()  # of the other end's channels; ours are counted
        main: VirtualChannel[T] = VirtualChannel(self, 0, 0)
        self._channels: dict[int, VirtualChannel[T]] = {0: main}  # by the id that stands on what comes
        super().__init__(main.stream, main.sink)
        self._subscription: StreamSubscription = inner.stream.listen(
            self._take, on_error=self._take_error, on_done=self._close
        )

    def virtual_channel(self, id: int | None = None) -> VirtualChannel[T]:  # noqa: A002
        """Return a new channel; or this side of the one that the other end has made, whose ``id`` it sent.

        Raises:
            TypeError, ValueError: no id of the other end's (they are odd numbers), or there is, or was, such a channel here.
        """
        if id is None:
            input_id, output_id = self._next_id + 1, self._next_id
            self._next_id += 2
        else:
            input_id = _to_id(id)
            output_id = input_id + 1
            if not input_id % 2:
                raise ValueError(f"the other end's channels have odd ids, and this is {input_id}")
            if input_id in self._pending:
                return self._take_up(input_id)
            if input_id in self._channels or self._was_closed(input_id):
                raise ValueError(f"there is or was a virtual channel with the id {input_id} here")
        channel: VirtualChannel[T] = VirtualChannel(self, input_id, output_id)
        if self._open:
            self._channels[input_id] = channel
        else:
            channel._virtual_sink.end()
        return channel

    def _take_up(self, input_id: int) -> VirtualChannel[T]:
        """Somebody asks for a channel that the other end has begun."""
        channel = self._channels[input_id]
        self._pending.discard(input_id)
        if channel._virtual_sink._is_gone():  # the other end has closed it meanwhile; what came before can be read
            self._forget(input_id)
        elif len(channel._virtual_stream.queue) >= self._max_waiting:
            channel._virtual_stream.held_back = True
            self.settle()
        return channel

    # For the virtual channels.

    def send(self, output_id: int, item: T) -> None:
        """Add an item to the channel below."""
        self.inner.sink.add([output_id, item])

    def close_channel(self, input_id: int, output_id: int) -> None:
        """Tell the other end that a channel is closed here."""
        self._forget(input_id)
        self._tell_closed(output_id)
        self.settle()

    def _tell_closed(self, output_id: int) -> None:
        if not self._open:
            return
        try:
            self.inner.sink.add([output_id])
        except (BackPressureError, ChannelStateError):  # without this the other end's idea of what is open is wrong
            self._close()
            return
        if all(channel._virtual_sink._is_gone() for channel in self._channels.values()):
            self._close()

    def settle(self) -> None:
        """Pause the channel below while too much waits on one of ours, if that is what is wanted."""
        paused = self._on_full == "pause" and any(
            len(channel._virtual_stream.queue) >= self._max_waiting
            for input_id, channel in self._channels.items()
            if input_id not in self._pending
        )
        if paused is not self._paused and self._open:
            self._paused = paused
            if paused:
                self._subscription.pause()
            else:
                self._subscription.resume()

    # For what comes from below.

    def _take(self, message: Any) -> None:
        if not self._open:
            return
        if not isinstance(message, (list, tuple)) or not 1 <= len(message) <= 2:
            self._fail("the other end sent something that is not [id] or [id, item], so it speaks no MultiChannel")
            return
        try:
            input_id = _to_id(message[0])
        except (TypeError, ValueError) as error:
            self._fail(f"the other end sent something that is not [id] or [id, item]: {error}")
            return
        channel = self._channels.get(input_id) or self._begin(input_id)
        if channel is None:
            return
        if len(message) > 1:
            self._deliver(input_id, channel, message[1])
        elif input_id not in self._pending:
            channel._virtual_sink.end()
            self.close_channel(input_id, channel.id)
        elif not channel._virtual_sink._is_gone():
            channel._virtual_sink.end()  # what came on it is kept for whoever asks for it
            self._tell_closed(channel.id)

    def _begin(self, input_id: int) -> VirtualChannel[T] | None:
        """The other end has begun a channel, or had not heard yet that it is closed; or it breaks the format."""
        if self._was_closed(input_id):
            return None
        if not input_id % 2:
            self._fail(f"the other end answered on channel {input_id - 1}, which was never made here")
            return None
        if len(self._pending) >= self._max_pending:
            self._fail(f"the other end began more than {self._max_pending} channels that nobody asked for (max_pending)")
            return None
        channel: VirtualChannel[T] = VirtualChannel(self, input_id, input_id + 1)
        self._channels[input_id] = channel
        self._pending.add(input_id)
        return channel

    def _deliver(self, input_id: int, channel: VirtualChannel[T], item: T) -> None:
        if not channel._virtual_sink._is_gone():  # or the other end closed it, and goes on all the same
            channel._virtual_stream.deliver((item,), at_once=True)
            self._check_room(input_id, channel)

    def _take_error(self, error: Exception) -> None:
        """An error of the channel below."""
        main = self._channels.get(0)
        if main is not None and self._open:
            main._virtual_stream.deliver_error(error, at_once=True)
            self._check_room(0, main)

    def _check_room(self, input_id: int, channel: VirtualChannel[T]) -> None:
        """Something was put into the channel's queue: do what is to be done if there is no room for more."""
        stream = channel._virtual_stream
        waiting = len(stream.queue)
        if input_id in self._pending:
            waiting = sum(len(self._channels[number]._virtual_stream.queue) for number in self._pending)
        elif self._on_full == "pause":
            if waiting >= self._max_waiting:
                stream.held_back = True
                self.settle()
            return
        if waiting > self._max_waiting:
            stream.queue.pop()
            stream.deliver_error(BackPressureError(f"more than {self._max_waiting} items waited unread (max_waiting)"))
            channel._virtual_sink.end()
            self.close_channel(input_id, channel.id)

    def _forget(self, input_id: int) -> None:
        del self._channels[input_id]
        self._pending.discard(input_id)
        if input_id % 2:
            self._closed_ids[input_id] = None
            if len(self._closed_ids) > _MOST_CLOSED_REMEMBERED:
                self._closed_ids.popitem(last=False)

    def _was_closed(self, input_id: int) -> bool:
        if input_id % 2:
            return input_id in self._closed_ids
        return input_id < self._next_id and input_id not in self._channels

    def _fail(self, message: str) -> None:
        """The other end breaks the format: nothing that comes after it can be understood."""
        main = self._channels.get(0)
        if main is not None:
            main._virtual_stream.deliver_error(MultiChannelError(message), at_once=True)
        self._close()

    def _close(self) -> None:
        self._subscription.cancel()
        try:
            self.inner.sink.close()
        except ChannelStateError:  # it is closed, or will be by whoever uses it
            pass
        self._end()

    def _end(self) -> None:
        """There is no channel below any more."""
        self._open = False
        channels = list(self._channels.values())
        self._channels = {number: self._channels[number] for number in self._pending}  # which still have what came on them
        for channel in channels:
            channel._virtual_sink.end()


def _to_id(value: Any) -> int:
    """Return it as an id. Dart compiled to JavaScript has one kind of number, exact up to 2**53."""
    if type(value) not in (int, float) or value != value // 1:
        raise TypeError(f"an id is an integer, not {value!r:.40}")
    if not 0 <= value < 2**53:
        raise ValueError(f"an id is at least 0 and less than 2**53, not {value!r:.40}")
    return int(value)
