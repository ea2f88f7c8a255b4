"""Run the Autobahn suite (without compression) against our servers and our clients, on asyncio and without an event loop.

All of them are run with the compiled kernels and with the pure ones. Everything listens on
127.0.0.1 only. Exits with 0 if every case of every run is neither FAILED nor NON-STRICT.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import judge
import suite

if TYPE_CHECKING:
    from types import FrameType

HERE = Path(__file__).resolve().parent
WORK = HERE.parent.parent / ".tox"
ALL_CASES = 301
EXCLUDED = ["12.*", "13.*"]  # permessage-deflate
START_LIMIT = 30.0
SIDES = {"server": "serve", "client": "connect", "sync-server": "sync-serve", "sync-client": "sync-connect"}

Command = Sequence[str | Path]
Child = subprocess.Popen[bytes]


class RunError(Exception):
    """A run did not come to its end; the text says why."""


def start(stack: ExitStack, command: Command, env: dict[str, str], log: Path) -> Child:
    """Start a child in its own process group, which is killed when the stack unwinds."""
    output = stack.enter_context(log.open("wb"))
    child = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    stack.callback(kill, child)
    return child


def kill(child: Child) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-5:]
    return f"; last lines of {log}:" + "".join(f"\n    {line[:200]}" for line in lines)


class Referee:
    """Plays the runs, one at a time."""

    def __init__(self, options: argparse.Namespace, suite_python: Path) -> None:
        self.options = options
        self.suite_python = suite_python
        self.expected = 1 if options.cases else ALL_CASES

    def environment(self, kernels: str) -> dict[str, str]:
        env = dict(os.environ, PYTHONUNBUFFERED="1")
        env.pop("CWSCHANNEL_PURE", None)
        if kernels == "pure":
            env["CWSCHANNEL_PURE"] = "1"
        return env

    def testee(self, *arguments: str) -> Command:
        return [sys.executable, self.options.testee, *arguments]

    def kernels_in_use(self, kernels: str) -> str:
        """The kernels that the testee really has when these are asked for."""
        command, env = self.testee("kernels"), self.environment(kernels)
        answer = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        if answer.returncode:
            raise RunError(f"the testee does not start: {(answer.stderr.splitlines() or ['?'])[-1]}")
        return answer.stdout.strip()

    def wstest(self, stack: ExitStack, mode: str, reports: Path, **spec: object) -> Child:
        """Start wstest in one of its modes, with its reports and log in that directory."""
        spec |= {"outdir": str(reports), "cases": self.options.cases or ["*"]}
        spec |= {"exclude-cases": EXCLUDED, "exclude-agent-cases": {}}
        path = reports / "spec.json"
        path.write_text(json.dumps(spec, indent=2))
        launcher = HERE / "wstest_loopback.py"
        command: Command = [self.suite_python, "-u", launcher, "-m", mode, "-s", path, "--webport", "0"]
        return start(stack, command, suite.clean_environment(), reports / "wstest.log")

    def wait(self, child: Child, log: Path) -> None:
        """Wait for the child that ends the run."""
        try:
            code = child.wait(self.options.time_limit)
        except subprocess.TimeoutExpired:
            raise RunError(f"not done after {self.options.time_limit:g} s{last_lines(log)}") from None
        if code:
            raise RunError(f"ended with exit code {code}{last_lines(log)}")

    def until_listening(self, child: Child, log: Path, port: int | None = None) -> int:
        """Wait until the child accepts connections; its port, if not given, is the first line it prints."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and child.poll() is None:
            line, newline, _ = log.read_text(errors="replace").partition("\n")
            if port is None and newline and line.isdigit():
                port = int(line)
            if port and accepts(port):
                return port
            time.sleep(0.1)
        raise RunError(f"does not listen{last_lines(log)}")

    def run_server(self, stack: ExitStack, what: str, agent: str, env: dict[str, str], reports: Path) -> None:
        """Our server against the suite's fuzzing client."""
        log = reports / "testee.log"
        server = start(stack, self.testee(what), env, log)
        url = f"ws://127.0.0.1:{self.until_listening(server, log)}"
        client = self.wstest(stack, "fuzzingclient", reports, servers=[{"agent": agent, "url": url}])
        self.wait(client, reports / "wstest.log")

    def run_client(self, stack: ExitStack, what: str, agent: str, env: dict[str, str], reports: Path) -> None:
        """Our client against the suite's fuzzing server."""
        port = free_port()
        url = f"ws://127.0.0.1:{port}"
        server = self.wstest(stack, "fuzzingserver", reports, url=url)
        self.until_listening(server, reports / "wstest.log", port)
        log = reports / "testee.log"
        self.wait(start(stack, self.testee(what, url, agent), env, log), log)

    def run(self, side: str, kernels: str) -> judge.Run:
        run = judge.Run(f"{side}, {kernels}", self.expected)
        agent = f"{side}-{kernels}"
        reports: Path = self.options.reports / agent
        shutil.rmtree(reports, ignore_errors=True)
        reports.mkdir(parents=True)
        print(f"{run.name}: running (reports in {reports})", flush=True)
        play = self.run_server if side.endswith("server") else self.run_client
        began = time.monotonic()
        try:
            with ExitStack() as stack:
                play(stack, SIDES[side], agent, self.environment(kernels), reports)
        except RunError as error:
            run.trouble = str(error)
        run.seconds = time.monotonic() - began
        run.cases = judge.read_cases(reports, agent)
        print(f"{run.name}: {run.passed} passed, {run.failed} failed, {run.seconds:.0f} s", flush=True)
        return run


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the Autobahn suite against cwschannel.")
    add = parser.add_argument
    add("--side", choices=[*SIDES, "all"], default="all")
    add("--kernels", choices=["compiled", "pure", "both"], default="both")
    add("--cases", action="append", metavar="PATTERN", help="only these, e.g. '7.1.*' (repeatable)")
    add("--time-limit", type=float, default=600, metavar="SECONDS", help="for each run")
    add("--suite-dir", type=Path, default=WORK / "autobahn-suite", help="the suite's virtualenv")
    add("--reports", type=Path, default=WORK / "autobahn-reports", help="where to write reports")
    add("--testee", type=Path, default=HERE / "testee.py", help="the script to be judged")
    options = parser.parse_args()
    for name in ("suite_dir", "reports", "testee"):
        setattr(options, name, getattr(options, name).resolve())
    return options


def terminated(signum: int, _: FrameType | None) -> None:
    raise SystemExit(128 + signum)  # so that the children are killed on the way out


def main() -> int:
    options = parse_options()
    signal.signal(signal.SIGTERM, terminated)
    sides = tuple(SIDES) if options.side == "all" else (options.side,)
    wanted = ("compiled", "pure") if options.kernels == "both" else (options.kernels,)
    try:
        referee = Referee(options, suite.prepare(options.suite_dir))
        in_use = {kernels: referee.kernels_in_use(kernels) for kernels in wanted}
        for kernels in wanted:
            if in_use[kernels] != kernels and (kernels, options.kernels) != ("compiled", "both"):
                raise RunError(f"the {kernels} kernels were asked for, the {in_use[kernels]} ones are in use")
    except (suite.SuiteError, RunError) as error:
        print(error, file=sys.stderr)
        return 2
    runs = []
    for kernels in wanted:
        for side in sides:
            if in_use[kernels] == kernels:
                runs.append(referee.run(side, kernels))
            else:
                reason = "there are no compiled kernels here"
                runs.append(judge.Run(f"{side}, {kernels}", referee.expected, left_out=reason))
    return 0 if judge.print_verdict(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
