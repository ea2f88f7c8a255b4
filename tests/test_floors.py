"""The floors of the package: what may import what, who names the twins, and how long files and functions get.

Read from the source files, without importing them. What a function imports when it is called and what is imported for
type checkers only obeys the floors like everything else; only a circle needs imports that run when a module is loaded.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
NAME = "cwschannel"
FLOORS = {"_version": 0, "status": 0, "exceptions": 0, "http": 0, "streams": 1, "kernels": 1, "protocol": 2, "channels": 3}
TOP = 4  # everything else: the package itself, sync, integrations, cli
KERNELS_MAY_IMPORT = {"status", "exceptions", "kernels"}
NO_IO = {"asyncio", "socket", "ssl", "threading", "time", "select", "selectors"}
STRANGERS = {"io_channel", "socket_channel", "html_channel"}
TWINS = ("compiled", "pure")
LONGEST_FILE = 450
LONGEST_FUNCTION = 70

When = Literal["loading", "calling", "type checking"]


@dataclass(frozen=True)
class Import:
    """One module that a line of a file imports."""

    line: int
    target: str
    when: When


class Source:
    """The files of the package under a directory. ``modules`` has their dotted names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, Path] = {}
        for path in sorted((root / NAME).rglob("*")):
            if path.suffix in (".py", ".pyx"):
                parts = path.relative_to(root).with_suffix("").parts
                self.modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        self.trees = {name: ast.parse(path.read_text("utf-8")) for name, path in self.python()}
        self.imports = {name: list(self._imports(name, path)) for name, path in self.modules.items()}

    def python(self) -> Iterator[tuple[str, Path]]:
        return ((name, path) for name, path in self.modules.items() if path.suffix == ".py")

    def place(self, name: str, line: int = 0) -> str:
        place = self.modules[name].relative_to(self.root).as_posix()
        return f"{place}:{line}" if line else place

    def _imports(self, name: str, path: Path) -> Iterator[Import]:
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        if path.suffix == ".py":
            found = list(python_imports(self.trees[name], "loading"))
        else:
            found = cython_imports(path.read_text("utf-8"))
            declarations = path.with_suffix(".pxd")
            if declarations.exists():
                found += cython_imports(declarations.read_text("utf-8"))
        for line, level, target, names, when in found:
            above = package.split(".")[: len(package.split(".")) + 1 - level] if level else []
            module = ".".join([*above, target] if target else above)
            if not names:
                yield Import(line, module, when)
            # `from a import b` imports the module a.b if there is one, else something that a has
            for one in names:
                yield Import(line, f"{module}.{one}" if f"{module}.{one}" in self.modules else module, when)


Found = tuple[int, int, str, list[str], When]


def python_imports(node: ast.AST, when: When) -> Iterator[Found]:
    """Line, level of the dots, module, names, and when it runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield child.lineno, 0, alias.name, [], when
        elif isinstance(child, ast.ImportFrom):
            yield child.lineno, child.level, child.module or "", [alias.name for alias in child.names], when
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from python_imports(child, "calling" if when == "loading" else when)
        elif isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from python_imports(ast.Module(child.body, []), "type checking")
            yield from python_imports(ast.Module(child.orelse, []), when)
        else:
            yield from python_imports(child, when)


CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<dots>\.*)(?P<module>[\w.]*)[ \t]+c?import[ \t]+(?:\((?P<many>[^)]*)\)|(?P<few>[^\n#]*))"
    r"|c?import[ \t]+(?P<plain>[^\n#]+))",
    re.MULTILINE,
)


def cython_imports(text: str) -> list[Found]:
    found: list[Found] = []
    for match in CYTHON_IMPORT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["plain"] is not None:
            modules = [one.split()[0] for one in match["plain"].split(",")]
            found += [(line, 0, module, [], "loading") for module in modules]
        else:
            names = [one.split()[0] for one in (match["many"] or match["few"] or "").split(",") if one.strip()]
            found.append((line, len(match["dots"]), match["module"], names, "loading"))
    return found


# --- the rules: each returns a sentence for every breach -------------------------------------------------------------


def part(name: str) -> str | None:
    """What stands right below the package: "kernels" of "cwschannel.kernels.frame"; None if it is not the package's."""
    top, _, rest = name.partition(".")
    return rest.partition(".")[0] if top == NAME else None


def floor(name: str) -> int:
    return FLOORS.get(part(name) or "", TOP)


def imports_upwards(source: Source) -> Iterator[str]:
    for name, imports in source.imports.items():
        for one in imports:
            if part(one.target) is not None and floor(one.target) > floor(name):
                yield (
                    f"{source.place(name, one.line)} imports {one.target} (when {one.when}), which is on floor "
                    f"{floor(one.target)}, from floor {floor(name)}"
                )


def kernels_know_too_much(source: Source) -> Iterator[str]:
    for name, imports in source.imports.items():
        for one in imports:
            if part(name) == "kernels" and part(one.target) not in {None, *KERNELS_MAY_IMPORT}:
                yield f"{source.place(name, one.line)} imports {one.target}: kernels know only {KERNELS_MAY_IMPORT}"


def names_a_twin(source: Source) -> Iterator[str]:
    packages = {f"{NAME}.kernels.{twin}" for twin in TWINS}
    for name, imports in source.imports.items():
        if name == f"{NAME}.kernels":
            continue
        for one in imports:
            for package in packages:
                if within(one.target, package) and not within(name, package):
                    yield f"{source.place(name, one.line)} imports {one.target}: only kernels/__init__.py names the twins"
        for node in ast.walk(source.trees.get(name, ast.Module([], []))):
            if isinstance(node, ast.Call):
                for value in (value for value in node.args if isinstance(value, ast.Constant)):
                    if re.search(r"\bkernels\.(compiled|pure)\b", str(value.value)):
                        yield f"{source.place(name, node.lineno)} names {value.value!r} in a call"


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def does_io(source: Source) -> Iterator[str]:
    for name, imports in source.imports.items():
        for one in imports:
            if part(name) in ("kernels", "protocol") and one.target.partition(".")[0] in NO_IO:
                yield f"{source.place(name, one.line)} imports {one.target}: {part(name)} does no I/O and asks no clock"


def strangers_meet(source: Source) -> Iterator[str]:
    channels = f"{NAME}.channels."
    for name, imports in source.imports.items():
        for one in imports:
            mine, other = name.removeprefix(channels), one.target.removeprefix(channels)
            if {mine, other} <= STRANGERS and mine != other:
                yield f"{source.place(name, one.line)} imports {one.target}: the channels that wait do not know each other"


def imports_in_a_circle(source: Source) -> Iterator[str]:
    edges = {
        name: sorted({one.target for one in imports if one.when == "loading" and one.target in source.modules} - {name})
        for name, imports in source.imports.items()
    }
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> Iterator[str]:
        if name in way:
            circle = [*way[way.index(name) :], name]
            yield "imported in a circle: " + " -> ".join(circle)
        elif name not in done:
            for target in edges[name]:
                yield from walk(target, [*way, name])
            done.add(name)

    for name in edges:
        yield from walk(name, [])


def file_too_long(source: Source) -> Iterator[str]:
    for name, path in source.python():
        lines = len(path.read_text("utf-8").splitlines())
        if lines > LONGEST_FILE:
            yield f"{source.place(name)} has {lines} lines, more than {LONGEST_FILE}"


def function_too_long(source: Source) -> Iterator[str]:
    for name, tree in source.trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    place = source.place(name, node.lineno)
                    yield f"{place} {node.name} has {lines} lines, more than {LONGEST_FUNCTION}"


RULES = [
    imports_upwards,
    kernels_know_too_much,
    names_a_twin,
    does_io,
    strangers_meet,
    imports_in_a_circle,
    file_too_long,
    function_too_long,
]


# --- the package -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package() -> Source:
    return Source(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_breaks_no_rule(package: Source, rule: Callable[[Source], Iterator[str]]) -> None:
    breaches = list(rule(package))
    assert not breaches, "\n" + "\n".join(breaches)


def test_that_there_is_something_to_look_at(package: Source) -> None:
    names = set(package.modules)
    assert names >= {NAME, f"{NAME}.status", f"{NAME}.exceptions", f"{NAME}.kernels", f"{NAME}.kernels.frame"}
    for twin in TWINS:
        for module in ("framing", "masking", "signing", "utf8"):
            assert f"{NAME}.kernels.{twin}.{module}" in names
    found = {one.target for one in package.imports[f"{NAME}.kernels.compiled.framing"]}
    assert found >= {f"{NAME}.exceptions", f"{NAME}.kernels.frame", f"{NAME}.kernels.rules", "cpython.buffer"}
    assert f"{NAME}.kernels.compiled.masking" in found
    assert {one.target for one in package.imports[f"{NAME}.kernels.pure.framing"]} >= {
        f"{NAME}.exceptions",
        f"{NAME}.kernels.frame",
        f"{NAME}.kernels.pure.utf8",
    }


# --- the rules, on small packages that break them --------------------------------------------------------------------

LONG = "def f():\n" + "    pass\n" * 70
BROKEN: list[tuple[Callable[[Source], Iterator[str]], dict[str, str], str | None]] = [
    (imports_upwards, {"status.py": "from .protocol import uri\n"}, "status.py:1 "),
    (imports_upwards, {"protocol/uri.py": "\nfrom ..channels.connect import connect\n"}, "protocol/uri.py:2 "),
    (imports_upwards, {"protocol/uri.py": "from .. import channels\n"}, "protocol/uri.py:1 "),
    (imports_upwards, {"protocol/uri.py": "import cwschannel.cli\n"}, "protocol/uri.py:1 "),
    (imports_upwards, {"channels/connect.py": "from .. import connect\n"}, "channels/connect.py:1 "),
    (imports_upwards, {"streams/a.py": "def f():\n    from ..protocol import uri\n"}, "streams/a.py:2 "),
    (imports_upwards, {"streams/a.py": "if TYPE_CHECKING:\n    from ..protocol import uri\n"}, "(when type checking)"),
    (imports_upwards, {"kernels/compiled/a.pyx": "from ...protocol cimport uri\n"}, "a.pyx:1 "),
    (
        imports_upwards,
        {"kernels/compiled/a.pyx": "", "kernels/compiled/a.pxd": "from ...protocol cimport uri\n"},
        "a.pyx:1 ",
    ),
    (imports_upwards, {"kernels/compiled/a.pyx": "cimport cwschannel.channels.connect\n"}, "a.pyx:1 "),
    (imports_upwards, {"protocol/uri.py": "from ..kernels import mask\nfrom .. import status, streams\n"}, None),
    (imports_upwards, {"cli/a.py": "from .. import connect\nimport cwschannel.channels.connect\n"}, None),
    (kernels_know_too_much, {"kernels/frame.py": "from .. import streams\n"}, "kernels/frame.py:1 "),
    (kernels_know_too_much, {"kernels/compiled/a.pyx": "x = 1\nfrom ... import (\n    streams,\n)\n"}, "a.pyx:2 "),
    (kernels_know_too_much, {"kernels/frame.py": "from .. import status\nfrom ..exceptions import X\n"}, None),
    (names_a_twin, {"protocol/uri.py": "from ..kernels.pure.masking import mask\n"}, "protocol/uri.py:1 "),
    (names_a_twin, {"protocol/uri.py": "from ..kernels import compiled\n"}, "protocol/uri.py:1 "),
    (names_a_twin, {"kernels/frame.py": "from .pure import masking\n"}, "kernels/frame.py:1 "),
    (names_a_twin, {"kernels/compiled/a.pyx": "from ..pure.masking import mask\n"}, "a.pyx:1 "),
    (names_a_twin, {"cli/a.py": "import_module('cwschannel.kernels.pure.masking')\n"}, "cli/a.py:1 "),
    (names_a_twin, {"kernels/__init__.py": "from .pure import masking\nfrom .compiled import a\n"}, None),
    (names_a_twin, {"kernels/pure/b.py": "from .masking import mask\n"}, None),
    (does_io, {"protocol/uri.py": "import time\n"}, "protocol/uri.py:1 "),
    (does_io, {"protocol/uri.py": "if TYPE_CHECKING:\n    from asyncio.events import X\n"}, "protocol/uri.py:2 "),
    (does_io, {"protocol/uri.py": "def f():\n    import socket\n"}, "protocol/uri.py:2 "),
    (does_io, {"kernels/compiled/a.pyx": "import os, threading\n"}, "a.pyx:1 "),
    (does_io, {"channels/connect.py": "import asyncio, time\n", "protocol/uri.py": "import os, timeit\n"}, None),
    (strangers_meet, {"channels/io_channel.py": "from .socket_channel import X\n"}, "io_channel.py:1 "),
    (strangers_meet, {"channels/html_channel.py": "def f():\n    from . import io_channel\n"}, "html_channel.py:2 "),
    (strangers_meet, {"channels/connect.py": "from .io_channel import X\nfrom .socket_channel import X\n"}, None),
    (imports_in_a_circle, {"cli/a.py": "from .b import x\n", "cli/b.py": "from . import a\n"}, "cli.a -> cwschannel.cli.b"),
    (
        imports_in_a_circle,
        {"cli/a.py": "from . import b\n", "cli/b.py": "import cwschannel.cli.c\n", "cli/c.py": "from .a import x\n"},
        "cli.b -> cwschannel.cli.c -> cwschannel.cli.a",
    ),
    (
        imports_in_a_circle,
        {
            "cli/a.py": "from . import b\n",
            "cli/b.py": "def f():\n    from . import a\nif TYPE_CHECKING:\n    from . import a\n",
        },
        None,
    ),
    (file_too_long, {"cli/a.py": "x = 1\n" * 451}, "cli/a.py has 451 lines"),
    (file_too_long, {"cli/a.py": "x = 1\n" * 450}, None),
    (function_too_long, {"cli/a.py": LONG}, "cli/a.py:1 f has 71 lines"),
    (function_too_long, {"cli/a.py": "class A:\n    async " + LONG.replace("\n", "\n    ")}, "cli/a.py:2 f has"),
    (function_too_long, {"cli/a.py": LONG.removesuffix("    pass\n")}, None),
]


@pytest.mark.parametrize(("rule", "files", "told"), BROKEN)
def test_a_broken_rule_is_told(
    tmp_path: Path, rule: Callable[[Source], Iterator[str]], files: dict[str, str], told: str | None
) -> None:
    existing = [
        *("__init__.py", "status.py", "exceptions.py", "streams/__init__.py", "kernels/__init__.py", "cli/__init__.py"),
        *("kernels/frame.py", "kernels/pure/__init__.py", "kernels/pure/masking.py", "kernels/compiled/__init__.py"),
        *("protocol/__init__.py", "protocol/uri.py", "channels/__init__.py", "channels/connect.py"),
        *("channels/io_channel.py", "channels/socket_channel.py"),
    ]
    for name, text in {**dict.fromkeys(existing, ""), **files}.items():
        path = tmp_path / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    breaches = list(rule(Source(tmp_path)))
    if told is None:
        assert breaches == []
    else:
        assert len(breaches) == 1
        assert told in breaches[0]
