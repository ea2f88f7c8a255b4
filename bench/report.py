"""The tables that are printed at the end, and what they must show."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import pytest

from .echo import LOOPS, Key, Pattern, Sample

EchoResults = dict[Pattern, dict[Key, Sample]]
KernelResults = dict[str, dict[str, dict[str, float]]]
"""Group, case, candidate: seconds."""

ECHO = pytest.StashKey[EchoResults]()
KERNELS = pytest.StashKey[KernelResults]()

RIVALS = ("websockets", "picows", "raw")
# Whose time is divided by whose.
KERNEL_RATIOS = (
    ("compiled", "websockets"),
    ("compiled", "aiohttp"),
    ("compiled", "limit"),
    ("pure", "websockets pure"),
    ("pure", "websockets"),
)
LARGEST = 2**20
# Ours, whose CPU time for an echo it is compared with, how much of that it may take, and up to which size. Pure Python masks
# 60 times slower than C, and in large messages masking is all there is: there, pure is compared with pure.
ALLOWED = (
    ("cwschannel listen", "websockets", 1.0, LARGEST),
    ("cwschannel recv", "websockets", 1.0, LARGEST),
    ("cwschannel listen, pure", "websockets", 2.0, 1024),
    ("cwschannel listen, pure", "websockets, pure", 1.0, LARGEST),
)


def machine() -> str:
    packages = []
    for name in ("picows", "aiofastnet", "websockets", "aiohttp", "uvloop"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"no {name}")
    return f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores; {', '.join(packages)}"


def kernel_tables(results: KernelResults) -> Iterator[str]:
    for group, cases in results.items():
        names = list(dict.fromkeys(name for case in cases.values() for name in case))
        ratios = [(ours, other) for ours, other in KERNEL_RATIOS if ours in names and other in names]
        yield ""
        yield f"{group}: ns a call, the fastest round"
        heads = [*names, *(f"{ours}/{other}" for ours, other in ratios)]
        yield f"{'':20}" + "".join(f"  {head:>10}" for head in heads)
        for case, figures in cases.items():
            cells = [f"{figures[name] * 1e9:,.0f}" if name in figures else "" for name in names]
            cells += [_ratio(figures, ours, other) for ours, other in ratios]
            yield f"{case:20}" + "".join(f"  {cell:>{max(10, len(head))}}" for head, cell in zip(heads, cells, strict=True))


def _ratio(figures: dict[str, float], ours: str, other: str) -> str:
    return f"{figures[ours] / figures[other]:.2f}" if ours in figures and other in figures else ""


def echo_tables(results: EchoResults) -> Iterator[str]:
    for pattern, figures in results.items():
        yield ""
        yield f"{pattern.name}: us a message, lower quartiles: the client's CPU time; wall time, peer on the same core"
        yield f"{'':36}{'CPU':>9}{'wall':>9}" + "".join(f"{'CPU/' + rival:>16}" for rival in RIVALS)
        for key, sample in figures.items():
            ratios = [figures.get(Key(key.loop, rival)) for rival in RIVALS]
            cells = [f"{sample.cpu / other.cpu:16.2f}" if other else " " * 16 for other in ratios]
            times = f"{sample.cpu * 1e6:9.2f}{sample.wall * 1e6:9.2f}"
            yield f"{key.loop:9}{key.candidate:27}{times}" + "".join(cells)


def verdicts(results: EchoResults) -> list[tuple[bool, str]]:
    """Return, for each thing that must hold, whether it does, and it in words."""
    found = []
    echoes = {pattern: figures for pattern, figures in results.items() if pattern.name.startswith("echo")}
    for ours, rival, allowed, largest in ALLOWED:
        ratios = []
        for pattern, figures in echoes.items():
            for loop in LOOPS if pattern.size <= largest else ():
                sample, other = figures.get(Key(loop, ours)), figures.get(Key(loop, rival))
                if sample and other:
                    ratios.append((sample.cpu / other.cpu, f"{pattern.name}, {loop}"))
        if ratios:
            worst, where = max(ratios)
            text = f"{ours}: at most {worst:.2f} of the CPU time of {rival} ({where}); allowed is {allowed:g}"
            found.append((worst <= allowed, text))
    return found
