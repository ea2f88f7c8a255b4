"""Threads that work for a server: as many as there is work, up to a bound."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

__all__ = ["Workers"]

logger = logging.getLogger("cwschannel")

_IDLE: Final = 5.0  # seconds after which a thread without work ends


class Workers:
    """At most ``most`` threads. They are daemons: an interpreter that ends does not wait for a handler.

    Attributes:
        busy: how many have work.
    """

    def __init__(self, most: int, name: str) -> None:
        self.busy = 0
        self._most = most
        self._name = name
        self._idle = 0
        self._changed = threading.Condition()
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def wait_for_room(self, timeout: float | None) -> bool:
        """Wait until another piece of work can be taken. Returns false at the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self.busy < self._most, timeout)

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until all work is done. Returns false at the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.busy, timeout)

    def wake(self) -> None:
        """End the waits, which look again."""
        with self._changed:
            self._changed.notify_all()

    def start(self, work: Callable[[], None]) -> None:
        """Have something done. There must be room for it.

        Raises:
            RuntimeError: the system has no more threads.
        """
        with self._changed:
            self.busy += 1
            spawn = not self._idle
            if not spawn:
                self._idle -= 1
        if not spawn:
            self._work.put(work)
            return
        try:
            threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True).start()
        except RuntimeError:
            self._done(idle=False)
            raise

    def _run(self, work: Callable[[], None] | None) -> None:
        while work is not None:
            try:
                work()
            except Exception:
                logger.exception("a thread of the server failed")
            except BaseException:
                self._done(idle=False)
                raise
            work = None  # and what it refers to must not live on in an idle thread
            self._done(idle=True)
            work = self._next()

    def _done(self, *, idle: bool) -> None:
        with self._changed:
            self.busy -= 1
            self._idle += idle
            self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        """Wait for more work; ``None`` if none comes."""
        try:
            return self._work.get(timeout=_IDLE)
        except Empty:
            pass
        with self._changed:
            if self._idle:
                self._idle -= 1
                return None
        return self._work.get()  # it was given to us in this very moment
