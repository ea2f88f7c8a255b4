"""The Python in README and docs runs, and prints what they say: a ``text`` block right after it, or nothing.

What calls ``asyncio.run``, or blocks, is a program. The rest of a page is one session, as at ``python -m asyncio``.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import cwschannel
import cwschannel.testing
from cwschannel.channels.byte_channel import ByteWebSocketChannel

from .running import ROOT, run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SESSION = Path(__file__).with_name("session.py")

BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n)?", re.DOTALL | re.MULTILINE)
MODULES = {"cwschannel": cwschannel, "status": cwschannel.status, "byte_channels": cwschannel.byte_channels}


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    code: str
    printed: str

    @property
    def is_program(self) -> bool:
        return "asyncio.run(" in self.code or "cwschannel.sync" in self.code

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match["code"], match["printed"] or "")


BLOCKS = [block for page in PAGES for block in blocks(page)]
PROGRAMS = [block for block in BLOCKS if block.is_program]
SESSIONS = [page for page in PAGES if any(block.page == page and not block.is_program for block in BLOCKS)]


def test_the_blocks_are_found() -> None:
    fences = sum(page.read_text(encoding="utf-8").count("```python") for page in PAGES)
    assert len(BLOCKS) == fences
    assert {page.name for page in SESSIONS} >= {"streams.md", "dart.md"}
    assert len(PROGRAMS) >= 4


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_programs_run(block: Block, server: str) -> None:
    """Clients talk to an echo server. A server takes a free port, and ends as soon as it listens."""
    program = block.code.replace("ws://localhost:8765", server).replace('"localhost", 8765', '"localhost", 0')
    assert run("-c", program.replace("await server.serve_forever()", "assert server.port")) == block.printed


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.name)
def test_sessions_run(page: Path) -> None:
    fragments = [block for block in BLOCKS if block.page == page and not block.is_program]
    printed = json.loads(run(str(SESSION), given=json.dumps([block.code for block in fragments])))
    assert {str(block): text for block, text in zip(fragments, printed, strict=True)} == {
        str(block): block.printed for block in fragments
    }


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_names_of_the_package_exist_even_where_they_do_not_run(block: Block) -> None:
    tree = compile(block.code, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in MODULES:
            assert hasattr(MODULES[node.value.id], node.attr), f"{node.value.id}.{node.attr}"


# The table of Dart's names.


def ours() -> list[str]:
    """The second column of every table in dart.md, one piece of code each."""
    rows = re.findall(r"^\|([^|]*)\|([^|]*)\|", (ROOT / "docs" / "dart.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [code for _, cell in rows for code in re.findall(r"`([^`]+)`", cell)]


def find(path: str) -> object:
    """Find ``Class.member``, ``status.NAME`` or ``testing.name`` in the package."""
    value: object = cwschannel
    for name in path.split("."):
        value = getattr(value, name)
    return value


def test_dart_md_has_a_column_of_ours() -> None:
    assert len(ours()) > 80


@pytest.mark.parametrize("code", sorted(set(ours())))
def test_each_of_our_names_in_dart_md_is_one(code: str) -> None:
    """``name``, ``Class.member``, or a call that names its arguments."""
    path, _, call = code.partition("(")
    assert re.fullmatch(r"\w+(\.\w+)*", path), "the column holds names and calls only"
    found = find(path)
    if call:
        assert call.endswith(")")
        assert callable(found)
        # Called, WebSocketChannel makes one of these.
        made = ByteWebSocketChannel if found is cwschannel.WebSocketChannel else found
        parameters = inspect.signature(made).parameters
        for name in filter(None, (argument.strip().rstrip("=") for argument in call[:-1].split(","))):
            assert name in parameters, f"{path}() has no {name}"
