"""Resident memory: of idle connections, and after a large message."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from .lines import Unavailable
from .plan import Case
from .processes import Failed, Process

if TYPE_CHECKING:
    from .field import Field, Row

FIRST = 100  # connections that are there before it is counted: what a library sets up once is no connection's
# Idle connections are asked for with the allocator as it comes, for that is what a program has.


def measure(field: Field, row: Row) -> None:
    """Fill in the row, from a new process."""
    if row.why:
        return
    child = field.spawn(row.entrant, {})
    try:
        child.read()
        row.value = grown(field, child, row.case) if row.case.what == "idle" else kept(field, child, row.case)
    except (Unavailable, Failed) as error:
        row.why = str(error)
    finally:
        child.kill()


def grown(field: Field, child: Process, case: Case) -> float:
    """Return the bytes by which the process grows with each idle connection."""
    work = asdict(case.work)
    port = child.ask("serve", secure=False, work=work)["port"]
    try:
        field.peer.ask("crowd", id="memory", port=port, count=FIRST, work=work)
        before = child.ask("resident")["resident"]
        field.peer.ask("crowd", id="memory", port=port, count=FIRST + case.count, work=work)
        return float((child.ask("resident")["resident"] - before) / case.count)
    finally:
        field.peer.ask("close", id="memory")


def kept(field: Field, child: Process, case: Case) -> float:
    """Return the bytes by which the process is larger after one large message was echoed, its connection still open."""
    work = asdict(case.work)
    port = child.ask("serve", secure=False, work=work)["port"]
    try:
        field.peer.ask("connect", id="memory", port=port, secure=False, work=work)
        before = child.ask("resident")["resident"]
        field.peer.ask("run", id="memory", pid=child.pid, count=1)
        return float(child.ask("resident")["resident"] - before)
    finally:
        field.peer.ask("close", id="memory")
