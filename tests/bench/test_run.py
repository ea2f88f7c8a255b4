"""A run of seconds, so that the bench does not rot: the real processes, with a round or two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cwschannel import kernels

ROOT = Path(__file__).parents[2]
OURS = "cwschannel listen" if kernels.COMPILED else "cwschannel listen, pure"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bench needs Linux")


def run(*arguments: str, file: Path) -> tuple[str, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "bench", "--quick", "--loop", "asyncio", "--json", str(file), *arguments]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(file.read_text())["rows"]


def test_round_trips(tmp_path: Path) -> None:
    names = ["raw", OURS]
    chosen = [word for name in names for word in ("--candidate", name)]
    page, rows = run("--only", "roundtrip", "--rounds", "6", *chosen, file=tmp_path / "results.json")
    assert "Round trips, client, binary, asyncio" in page
    plain = [row for row in rows if not row["case"]["tls"] and not row["case"]["text"]]
    assert {(row["candidate"], row["case"]["side"]) for row in plain} == {
        (name, side) for name in names for side in ("client", "server")
    }
    for row in plain:
        assert not row["why"]
        assert [len(rounds) for rounds in row["cpu"]] == [3, 3], "six rounds, in two generations"
        assert all(seconds > 0 for rounds in row["cpu"] + row["wall"] for seconds in rounds)


def test_every_group_runs(tmp_path: Path) -> None:
    groups = ("pipelined", "fanout", "opening", "memory")
    chosen = [word for group in groups for word in ("--only", group)]
    page, rows = run("--rounds", "1", "--candidate", "raw", *chosen, file=tmp_path / "results.json")
    assert {row["case"]["group"] for row in rows} == set(groups)
    assert {row["why"] for row in rows if row["why"] and "limit of open files" not in row["why"]} == set()
    assert "Fan-out" in page
    assert "MISSED" not in page
