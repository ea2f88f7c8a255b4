"""What the verbs share: escaping, tables, the progress bar, stop signals, and errors as sentences.

Text that came from a peer reaches the terminal through `escape` only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import math
import os
import platform
import re
import signal
import ssl
import sys
import unicodedata
from typing import TYPE_CHECKING

import cwschannel

from .. import status
from ..exceptions import OpeningFailed, WebSocketChannelException
from ..kernels import COMPILED, WHY_PURE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREVIEW_BYTES = 32

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


class CommandError(Exception):
    """The command cannot go on; its text is the sentence for the user, safe to print."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def explain(error: BaseException, where: str) -> str:
    """One sentence for `error`, safe to print; `where` names what an error of the system is about."""
    match error:
        case OpeningFailed(__cause__=ssl.SSLCertVerificationError()):
            text = f"{error} (--insecure skips this check)"
        case WebSocketChannelException():
            text = str(error)
        case OSError(errno=errno.EADDRINUSE):
            text = f"{where} is already in use"
        case TimeoutError(strerror=None):
            text = f"{where} did not answer in time"
        case ssl.SSLError(reason=str(reason)):
            text = f"{where}: {reason.lower().replace('_', ' ')}"
        case OSError(strerror=str(reason)):
            text = f"{where}: {reason}"
        case _:
            text = f"{where}: {error}"
    return escape(text)


def version_line() -> str:
    """The versions and which kernels run, in one line."""
    kernels = "compiled kernels" if COMPILED else f"pure kernels ({WHY_PURE})"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"cwschannel {cwschannel.__version__}, {python}, {kernels}"


def say(line: str) -> None:
    """Print one line at once and in one piece, also into a pipe."""
    print(f"{line}\n", end="", flush=True)


def mute_stdout() -> None:
    """Send the rest of the output nowhere, so that the interpreter's last flush does not fail."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def escape(text: str) -> str:
    """`text` with everything that could move the cursor or reorder the line written out.

    That is controls (C0, DEL, C1), format characters (bidi overrides, zero-width, tags), surrogates, private
    and unassigned code points, and the line and paragraph separators.
    """
    return text if text.isprintable() else "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] != "C" and category not in ("Zl", "Zp"):
        return character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def show(message: str | bytes) -> str:
    """One received message in one line: text escaped, binary as its length and first bytes."""
    if isinstance(message, str):
        return escape(message)
    dots = " ..." if len(message) > PREVIEW_BYTES else ""
    plural = "" if len(message) == 1 else "s"
    return f"binary, {len(message)} byte{plural}: {message[:PREVIEW_BYTES].hex(' ')}{dots}".rstrip(": ")


def closing(code: int | None, reason: str | None) -> str:
    """How a connection ended: the code, what it means, and the reason the peer gave."""
    if code is None:
        return "still open"
    quoted = f" '{escape(reason)}'" if reason else ""
    return f"{code} ({status.describe(code)}){quoted}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns: the first to the left, numbers to the right, a rule under the first row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        first, *others = (
            f"{cell:<{width}}" if not at else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(rows[0]), line(["-" * width for width in widths]), *map(line, rows[1:])])


class Progress:
    """A progress bar in one line, drawn on a terminal and nowhere else."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._width = 0
        self._visible = sys.stdout.isatty()

    def step(self, label: str) -> None:
        """Say what is being done now; each call is one more step begun."""
        filled = round(24 * self._done / self._steps)
        self._draw(f"[{'#' * filled}{'.' * (24 - filled)}] {self._done}/{self._steps} {label}")
        self._done += 1

    def clear(self) -> None:
        """Take the bar off the screen."""
        self._draw("")
        self._draw("")

    def _draw(self, line: str) -> None:
        if self._visible:
            print(f"\r{line:<{self._width}}", end="", flush=True)
            self._width = len(line)


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets once; a second signal acts as it did before."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal(*_: object) -> None:
        restore()
        loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield stop
    finally:
        restore()


def token(text: str) -> str:
    """An argument that must be an RFC 9110 token: a subprotocol."""
    if not _TOKEN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} has characters that a subprotocol cannot have")
    return text


def field_value(text: str) -> str:
    """An argument that becomes the value of a header."""
    if not all(" " <= character <= "~" or character == "\t" for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} has characters that a header cannot have")
    return text


def header(text: str) -> tuple[str, str]:
    """An argument of the form 'Name: value'."""
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 'Name: value'")
    return name, field_value(value.strip())


def seconds(text: str) -> float:
    """An argument that is a time above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return value
