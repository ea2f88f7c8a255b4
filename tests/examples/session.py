"""Runs fragments one after the other, as typed at ``python -m asyncio``: ``await`` stands anywhere, names stay.

Reads a JSON list of fragments, and writes one of what each printed. Ends with status 1 at the first that raises.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import sys

LIMIT = 20.0


async def run(fragments: list[str]) -> list[str]:
    names: dict[str, object] = {}
    printed = []
    for number, fragment in enumerate(fragments, 1):
        code = compile(fragment, f"<fragment {number}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await asyncio.wait_for(result, LIMIT)
        printed.append(output.getvalue())
    return printed


if __name__ == "__main__":
    json.dump(asyncio.run(run(json.load(sys.stdin))), sys.stdout)
