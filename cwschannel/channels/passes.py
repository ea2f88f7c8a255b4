"""The passes of an event loop: what was held together in one is written at its end, in one callback for all connections."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from ..streams.loops import AnyLoop

__all__ = ["Passes", "passes_of"]


class Passes:
    """The passes of one loop, as far as somebody asks to be told of their end.

    Attributes:
        number: another one than before means that the pass is over in which ``watch`` or ``at_end`` was called.
    """

    __slots__ = ("_callbacks", "_watched", "number")

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []
        self._watched = False
        self.number = 0

    def watch(self, loop: AnyLoop) -> None:
        """Count this pass of the loop, which is not kept here: it would never be forgotten."""
        if not self._watched:
            self._watched = True
            loop.call_soon(self._end, loop)

    def at_end(self, loop: AnyLoop, callback: Callable[[], None]) -> None:
        """Have something called at the end of this pass."""
        self._callbacks.append(callback)
        self.watch(loop)

    def _end(self, loop: AnyLoop) -> None:
        self._watched = False
        self.number += 1
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # one connection's must not be another's
                loop.call_exception_handler({"message": "writing to a connection failed", "exception": error})


_passes: WeakKeyDictionary[AnyLoop, Passes] = WeakKeyDictionary()


def passes_of(loop: AnyLoop) -> Passes:
    """Return the passes of a loop, which all its connections share."""
    passes = _passes.get(loop)
    if passes is None:
        passes = _passes[loop] = Passes()
    return passes
