"""`cwschannel demo`, end to end and where it must fail."""

from __future__ import annotations

import asyncio
import multiprocessing
import operator
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel import __version__, cli
from cwschannel.cli import demo
from cwschannel.kernels import COMPILED

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    Captured = pytest.CaptureFixture[str]
    Run = Callable[..., Any]
    Start = Callable[..., Any]

ROWS = [f"{kind} {size}" for size in ("16 B", "1 KiB", "64 KiB", "1 MiB") for kind in ("text", "binary")]


def found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    assert match, text
    return match.groups()


def _gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_demo_measures_and_both_ends_report_the_same_close(run: Run) -> None:
    done = run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"cwschannel {__version__}" in done.stdout
    assert ("compiled" if COMPILED else "pure") + " kernels" in done.stdout
    assert ".".join(map(str, sys.version_info[:3])) in done.stdout
    lines = done.stdout.splitlines()
    for row in ROWS:
        pattern = re.compile(rf"{row}(\s+[\d.]+ [um]s){{2}}(\s+[\d.,]+){{4}}")
        assert len(list(filter(pattern.fullmatch, lines))) == 1, row
    right, echoes = found(r"equal to what was sent: (\d+) of (\d+)", done.stdout)
    assert int(right) == int(echoes) >= 2 * len(ROWS) * demo.FEWEST
    assert "server saw: 1000 (normal closure) 'demo done'" in lines
    assert [line for line in lines if line.startswith("client saw: 1000 (normal closure)")]
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
def test_demo_leaves_no_process_behind(run: Run) -> None:
    (server,) = found(r"echo server in process (\d+)", run("demo").stdout)
    assert _gone(int(server))


def test_demo_interrupted(start: Start, interrupt: signal.Signals) -> None:
    process = start("demo")
    process.line()
    (server,) = found(r"process (\d+)", process.line())
    time.sleep(0.3)
    os.killpg(process.popen.pid, interrupt)  # as a terminal does: to both processes
    code, _, errors = process.finish()
    assert (code, errors) == (130, "")
    assert _gone(int(server))


def test_demo_draws_its_progress_on_a_terminal(on_terminal: Callable[..., tuple[int, str]]) -> None:
    code, drawn = on_terminal("demo")
    assert code == 0
    bars = [part for part in drawn.split("\r") if part.startswith("[")]
    assert len(bars) == 2 * len(ROWS)
    assert bars[-1].startswith(f"[{'#' * 22}..] 15/16 binary 1 MiB")
    assert "client saw: 1000" in drawn


class _Mirror:
    """As much of a channel as the demo's client uses; every third answer is wrong."""

    def __init__(self) -> None:
        self.sink = self
        self._answers: list[Any] = []
        self._count = 0

    def add(self, message: str | bytes) -> None:
        self._answers.append(message)

    async def recv(self) -> str | bytes:
        self._count += 1
        message: str | bytes = self._answers.pop(0)
        return message if self._count % 3 else message[1:]


class _Silent(_Mirror):
    async def recv(self) -> str | bytes:
        await asyncio.sleep(60)
        return ""


def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.1)
    client = demo._Client(_Silent())  # type: ignore[arg-type]
    for measurement in (client.alone(["x"]), client.pipelined(["x"], 1)):
        with pytest.raises(TimeoutError):
            asyncio.run(measurement)


def test_demo_says_what_was_not_answered(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    async def pipelined(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(demo, "PHASE", 0.01)
    monkeypatch.setattr(demo._Client, "pipelined", pipelined)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == "cwschannel: text 16 B: the server did not answer within 15 seconds\n"


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("measurement", ["alone", "pipelined"])
def test_a_wrong_echo_is_counted(kind: str, measurement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PHASE", 0.01)
    client = demo._Client(_Mirror())  # type: ignore[arg-type]
    messages = demo._messages(kind, 64)
    if measurement == "alone":
        asyncio.run(client.alone(messages))
    else:
        asyncio.run(client.pipelined(messages, 64))
    assert client.echoes >= demo.FEWEST
    assert client.echoes - client.right == client.echoes // 3


@pytest.mark.parametrize("size", [16, 1024, 65536])
def test_messages_have_the_size_they_say(size: int) -> None:
    for kind in ("text", "binary"):
        messages = demo._messages(kind, size)
        assert {len(m.encode() if isinstance(m, str) else m) for m in messages} == {size}
        assert len(set(messages)) == len(messages) > 1, "an echo out of order must be noticed"


def test_demo_fails_when_an_echo_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(demo, "PHASE", 0.01)
    count = demo._Client._count
    monkeypatch.setattr(demo._Client, "_count", lambda self, sent, got: count(self, sent, got[1:]))
    assert cli.main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert "equal to what was sent: 0 of" in out
    assert err == "cwschannel: some echoes were not what was sent\n"


@pytest.mark.parametrize("code", [1001, 1006, None])
def test_demo_fails_when_the_ends_disagree(
    code: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    report = demo._report

    def altered(pipe: Any) -> Any:
        told = report(pipe)
        return told if isinstance(told, int) else (code, told[1])

    monkeypatch.setattr(demo, "PHASE", 0.01)
    monkeypatch.setattr(demo, "_report", altered)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == "cwschannel: the two ends do not agree how the connection closed\n"


def test_demo_fails_when_its_server_dies(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(demo, "_serve", operator.truth)  # the process starts, and ends
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == "cwschannel: the server process ended unexpectedly\n"


def test_demo_fails_when_its_server_hangs(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(demo, "_serve", _wait)
    monkeypatch.setattr(demo, "PATIENCE", 0.5)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == "cwschannel: the server process said nothing for 0.5 seconds\n"
    assert multiprocessing.active_children() == []


_wait = operator.methodcaller("poll", 60)  # what the pipe's other end never makes true
