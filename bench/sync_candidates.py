"""Blocking clients beside a bare blocking socket that exchanges the same bytes, all of them on one core with the peer.

``python bench/sync_candidates.py [ROUNDS]`` prints, for each size, the CPU time and the wall time of a round trip (lower
quartiles of rounds in which the candidates take turns), and what an idle connection costs.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

HERE = Path(__file__).resolve().parent
SIZES = (32, 1024, 65536)
SAMPLE = 0.02  # seconds of CPU time, at least
IDLE = 200
LIFETIME = 900

Exchange = Callable[[bytes, int], None]


def raw(port: int) -> Exchange:
    import socket

    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    head = "GET /1/1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    sock.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    assert b"\r\n\r\n" in sock.recv(65536)
    view = memoryview(bytearray(262144))

    def exchange(message: bytes, trips: int) -> None:
        size = len(message)
        form = 126 if size < 65536 else 127
        length = struct.pack("!H" if form == 126 else "!Q", size) if size >= 126 else b""
        frame = bytes((0x82, 0x80 | (form if length else size))) + length + bytes(4) + message
        answer = 2 + len(length) + size
        send, receive = sock.send, sock.recv_into
        for _ in range(trips):
            if send(frame) != len(frame):
                raise RuntimeError("a blocking socket sends all of it")
            missing = answer
            while missing:
                missing -= receive(view)

    return exchange


def by_methods(connection: Any, send: str, recv: str) -> Exchange:
    def exchange(message: bytes, trips: int) -> None:
        add, take = getattr(connection, send), getattr(connection, recv)
        for _ in range(trips):
            add(message)
            take()

    return exchange


def ours(port: int) -> Exchange:
    from cwschannel.sync import connect

    return by_methods(connect(f"ws://127.0.0.1:{port}/1/1"), "send", "recv")


def websocket_client(port: int) -> Exchange:
    import websocket

    return by_methods(websocket.create_connection(f"ws://127.0.0.1:{port}/1/1"), "send_binary", "recv")


def websockets_sync(port: int) -> Exchange:
    from websockets.sync.client import connect

    return by_methods(connect(f"ws://127.0.0.1:{port}/1/1", compression=None, proxy=None), "send", "recv")


CANDIDATES = {"raw": raw, "cwschannel": ours, "websocket-client": websocket_client, "websockets.sync": websockets_sync}


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle(open_one: Callable[[int], Exchange], port: int) -> dict[str, float]:
    """What a connection costs that has exchanged one message and is idle now."""
    kept = [open_one(port) for _ in range(5)]
    gc.collect()
    memory, threads = resident(), threading.active_count()
    for _ in range(IDLE):
        kept.append(open_one(port))
        kept[-1](b"x", 1)
    gc.collect()
    result = {"memory": (resident() - memory) / IDLE, "threads": (threading.active_count() - threads) / IDLE}
    kept.clear()
    return result


def child(name: str, port: int) -> None:
    exchange = CANDIDATES[name](port)
    for line in sys.stdin:
        size, trips = json.loads(line)
        if not trips:
            print(json.dumps(idle(CANDIDATES[name], port)), flush=True)
            continue
        message = os.urandom(size)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        exchange(message, trips)
        result = ((time.perf_counter() - wall) / trips, (time.process_time() - cpu) / trips)
        print(json.dumps(result), flush=True)
    os._exit(0)


class Child:
    def __init__(self, *command: str, core: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        os.sched_setaffinity(self._process.pid, {core})

    def ask(self, question: object = None) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        if question is not None:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def main(rounds: int) -> None:
    core = max(os.sched_getaffinity(0))
    children: list[Child] = []
    try:
        peer = Child(str(HERE / "peer.py"), "asyncio", str(LIFETIME), core=core)
        children.append(peer)
        port = peer.ask()
        field = {name: Child(str(Path(__file__)), name, str(port), core=core) for name in CANDIDATES}
        children += field.values()
        for size in SIZES:
            trips = {}
            for name, one in field.items():
                trips[name] = 8
                while one.ask((size, trips[name]))[1] * trips[name] < SAMPLE:
                    trips[name] *= 2
            samples: dict[str, list[tuple[float, float]]] = {name: [] for name in field}
            for _ in range(rounds):
                for name in random.sample(list(field), len(field)):
                    samples[name].append(field[name].ask((size, trips[name])))
            wall, cpu = ({name: quantiles(s[i] for s in got)[0] for name, got in samples.items()} for i in (0, 1))
            print(f"\nround trip of {size} B: us of CPU, of wall time, CPU beside the bare socket")
            for name in field:
                print(f"{name:20}{cpu[name] * 1e6:9.2f}{wall[name] * 1e6:9.2f}{cpu[name] / cpu['raw']:9.2f}")
        print("\nan idle connection: KiB, threads")
        for name, one in field.items():
            cost = one.ask((0, 0))
            print(f"{name:20}{cost['memory'] / 1024:9.1f}{cost['threads']:9.1f}")
    finally:
        for one in children:
            one.kill()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(sys.argv[1], int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
