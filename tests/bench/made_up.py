"""Results that nobody measured."""

from __future__ import annotations

from dataclasses import replace

from bench.field import Entrant, Row
from bench.plan import KIB, Case
from bench.results import Results

ECHO_32 = Case("roundtrip", "echo", "client", 32)
ECHO_64K = Case("roundtrip", "echo", "server", 64 * KIB)
SEND_32 = Case("pipelined", "send", "client", 32, cores=2)
FAN = Case("fanout", "broadcast", "server", 256, cores=2, count=1000)
IDLE = Case("memory", "idle", "server", 32, count=1000)
ABOUT = {
    "when": "2001-02-03 04:05 UTC",
    "python": "CPython 3.13.0",
    "system": "Linux",
    "processor": "one <that> & another",
    "cores": 2,
    "load": [0.0, 0.1, 0.2],
    "mode": "quick",
    "rounds": 5,
    "generations": 1,
    "versions": {"cwschannel": "1.2.3"},
}


def measured(case: Case, candidate: str, microseconds: float, loop: str = "uvloop") -> Row:
    """Rounds that all took the same time."""
    return Row(case, Entrant(candidate, loop), cpu=[[microseconds / 1e6] * 5], wall=[[microseconds / 5e5] * 5])


def rows() -> list[Row]:
    return [
        measured(ECHO_32, "raw", 8),
        measured(ECHO_32, "cwschannel listen", 8.8),
        measured(ECHO_32, "picows", 8),
        measured(ECHO_32, "websockets", 16),
        measured(ECHO_64K, "raw", 16),
        measured(ECHO_64K, "cwschannel listen", 18),
        measured(ECHO_64K, "picows", 24),
        measured(SEND_32, "cwschannel listen", 0.1),
        measured(SEND_32, "picows", 2),
        measured(SEND_32, "aiohttp", 1.25),
        measured(replace(SEND_32, cores=1), "picows", 1),
        Row(FAN, Entrant("cwschannel listen", "uvloop"), why="this cwschannel has no broadcast()"),
        measured(FAN, "websockets", 10),
        Row(IDLE, Entrant("cwschannel listen", "uvloop"), value=6 * KIB),
        Row(IDLE, Entrant("cwschannel listen", "asyncio"), value=11 * KIB),
    ]


def results() -> Results:
    kernels = {
        "mask (limit)": {
            "16 B": {"compiled": 5e-8, "websockets": 1e-7, "limit": 4e-8},
            "1 KiB": {"compiled": 1.2e-7, "websockets": 1.1e-7, "limit": 1e-7},
        },
        "sign_key": {"": {"compiled": 2e-7, "websockets": 6e-7}},
    }
    return Results(rows(), kernels, dict(ABOUT))
