"""Resident memory: of idle connections, and after a large message, with the allocator as it comes; and threads."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from .lines import Unavailable
from .plan import Case
from .processes import Failed, Process

if TYPE_CHECKING:
    from .field import Field, Row

FIRST = 100  # connections that are there before it is counted: what a library sets up once is no connection's


def measure(field: Field, row: Row) -> None:
    """Fill in the row, from a new process."""
    if row.why:
        return
    child = field.spawn(row.entrant, {})
    try:
        child.read()
        if row.case.side == "client":
            row.value = held(child, f"ws://127.0.0.1:{field.ports['port']}{row.case.work.path}", row.case)
            return
        port = child.ask("serve", secure=False, work=asdict(row.case.work))["port"]
        row.value = (grown if row.case.what == "idle" else kept)(field.peer, child, port, row.case)
        field.peer.ask("close", id="memory")
    except (Unavailable, Failed) as error:
        row.why = str(error)
    finally:
        child.kill()


def grown(peer: Process, child: Process, port: int, case: Case) -> float:
    """Return the bytes by which the process grows with each idle connection."""
    crowd = {"id": "memory", "port": port, "work": asdict(case.work)}
    peer.ask("crowd", count=FIRST, **crowd)
    before = child.ask("resident")["resident"]
    peer.ask("crowd", count=FIRST + case.count, **crowd)
    return float((child.ask("resident")["resident"] - before) / case.count)


def kept(peer: Process, child: Process, port: int, case: Case) -> float:
    """Return the bytes by which the process is larger after one large message was echoed, its connection still open."""
    peer.ask("connect", id="memory", port=port, secure=False, work=asdict(case.work))
    before = child.ask("resident")["resident"]
    peer.ask("run", id="memory", pid=child.pid, count=1)
    return float(child.ask("resident")["resident"] - before)


def held(child: Process, uri: str, case: Case) -> float:
    """Return the bytes, or the threads, that each idle connection adds to a process that opens many."""
    what = "threads" if case.what == "threads" else "resident"
    before = child.ask("hold", uri=uri, count=FIRST, work=asdict(case.work))[what]
    after = child.ask("hold", uri=uri, count=FIRST + case.count, work=asdict(case.work))[what]
    return float((after - before) / case.count)
