"""The command line: `cwschannel demo | connect | serve`.

`main` parses, runs the verb and turns what it raises into one sentence and an exit code:
0 done, 1 failed, 2 wrongly called, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING

from ..exceptions import WebSocketChannelException
from . import connect, demo, serve
from .terminal import CommandError, explain, mute_stdout, say, version_line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code of the process."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # where it is not UTF-8, it shows \u2026
        sys.stdout.reconfigure(errors="backslashreplace")
    args = argparse.Namespace(where=lambda _: "the command")
    try:
        args = _parser().parse_args(argv)
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has gone
        mute_stdout()
        return 1
    except CommandError as error:
        print(f"cwschannel: {error}", file=sys.stderr)
        return error.exit_code
    except (WebSocketChannelException, OSError) as error:
        print(f"cwschannel: {explain(error, args.where(args))}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cwschannel", description="WebSocket channels on the command line")
    parser.add_argument("--version", action="store_true", help="print the versions and the kernels in use")
    parser.set_defaults(run=_version_or_help, where=lambda _: "the command")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for verb in (demo, connect, serve):
        verb.add_parser(commands)
    return parser


def _version_or_help(args: argparse.Namespace) -> int:
    if args.version:
        say(version_line())
        return 0
    _parser().print_help(sys.stderr)
    return 2
