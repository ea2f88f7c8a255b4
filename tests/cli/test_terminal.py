"""Escaping, tables, the progress bar, and errors as sentences."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import ssl
import sys

import pytest

from cwschannel.cli import terminal
from cwschannel.exceptions import InvalidURI, OpeningFailed, OpeningTimeout


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 🚀 \\ 'quoted'", "plain é 日本 🚀 \\ 'quoted'"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2Jgone\x00\x07", "\\x1b[2Jgone\\x00\\x07"),
        ("\x7f\x80\x9b1A\x9f", "\\x7f\\x80\\x9b1A\\x9f"),
        ("\u202eevil\u202c \u2066\u2069\u200f", "\\u202eevil\\u202c \\u2066\\u2069\\u200f"),
        ("\u2028\u2029\u200b\ufeff", "\\u2028\\u2029\\u200b\\ufeff"),
        ("\U000e0041\udc80", "\\U000e0041\\udc80"),
        ("1\u00a0000", "1\u00a0000"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert terminal.escape(text) == shown


def test_escape_leaves_nothing_that_a_terminal_obeys() -> None:
    everything = "".join(map(chr, range(0x110000)))
    shown = terminal.escape(everything)
    assert all(character.isprintable() or character.isspace() for character in shown)
    assert not set(shown) & {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("te\x1bxt", "te\\x1bxt"),
        ("", ""),
        (b"", "binary, 0 bytes"),
        (b"\x1b", "binary, 1 byte: 1b"),
        (bytes(range(33)), f"binary, 33 bytes: {bytes(range(32)).hex(' ')} ..."),
    ],
)
def test_show(message: str | bytes, shown: str) -> None:
    assert terminal.show(message) == shown


@pytest.mark.parametrize(
    ("code", "reason", "shown"),
    [
        (1000, "demo done", "1000 (normal closure) 'demo done'"),
        (1005, "", "1005 (no status received)"),
        (4001, "a\x1bb", "4001 (private use) 'a\\x1bb'"),
        (None, None, "still open"),
    ],
)
def test_closing(code: int | None, reason: str | None, shown: str) -> None:
    assert terminal.closing(code, reason) == shown


def test_table_aligns_words_left_and_numbers_right() -> None:
    lines = terminal.table([["what", "n"], ["a", "1"], ["longer", "1,000"]]).splitlines()
    assert lines == ["what        n", "------  -----", "a           1", "longer  1,000"]


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = terminal.Progress(2)
    progress.step("one")
    progress.clear()
    assert capsys.readouterr().out == ""


def test_progress_on_a_terminal_ends_with_an_empty_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    progress = terminal.Progress(2)
    progress.step("a long label")
    progress.step("b")
    progress.clear()
    drawn = capsys.readouterr().out.split("\r")[1:]
    assert drawn[0] == f"[{'.' * 24}] 0/2 a long label"
    assert drawn[1].rstrip() == f"[{'#' * 12}{'.' * 12}] 1/2 b"
    assert len(drawn[1]) == len(drawn[0]), "the shorter line covers the longer one"
    assert drawn[-2].isspace()
    assert drawn[-1] == ""


def _failed(cause: BaseException) -> OpeningFailed:
    error = OpeningFailed("could not connect")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (_failed(ConnectionRefusedError(111, "x")), "could not connect"),
        (_failed(ssl.SSLCertVerificationError(1, "x")), "could not connect (--insecure skips this check)"),
        (OpeningFailed("something \x1b[1m new"), "something \\x1b[1m new"),
        (OpeningTimeout("too late"), "too late"),
        (InvalidURI("that is no URI\n"), "that is no URI\\n"),
        (OSError(errno.EADDRINUSE, "Address in use"), "ws://h is already in use"),
        (PermissionError(13, "Permission denied"), "ws://h: Permission denied"),
        (TimeoutError(), "ws://h did not answer in time"),
        (OSError("strange"), "ws://h: strange"),
    ],
)
def test_explain(error: Exception, sentence: str) -> None:
    assert terminal.explain(error, "ws://h") == sentence


@pytest.mark.parametrize("text", ["no colon", ": empty", "a b: c", "X: line\nbreak", "X: é", ""])
def test_header_refuses(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        terminal.header(text)


def test_header() -> None:
    assert terminal.header("X-Note:  one: two ") == ("X-Note", "one: two")
    assert terminal.header("X-Empty:") == ("X-Empty", "")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_seconds_refuses(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        terminal.seconds(text)


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
def test_stop_signals_sets_the_event_and_restores_the_handlers() -> None:
    async def main() -> None:
        with terminal.stop_signals() as stop:
            handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            assert handlers != before
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), 5)
            assert signal.getsignal(signal.SIGTERM) == before[1], "a second signal acts as it did before"

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
