"""Runs a page of the docs as its reader would: in a folder, block after block.

Snippets of Python share one interpreter; files and shell blocks are processes of their own. Where a
page says `localhost:4318` or `localhost:8000`, a real OTLP receiver and a real dotflow-api are.

`python -m support.page_run PAGE` (from `tests`) prints each block's output: for whoever writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support import blocks
from support.otlp import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import IO

    from typing_extensions import Self

    from support.blocks import Block

LIMIT = 120.0
"""Seconds that one block, or what is waited for, may take on a loaded machine."""

LEFT_LIMIT = 60.0
"""Seconds that processes may outlive the block that started them."""

BEGIN_LIMIT = 20.0
"""Seconds that a program of a page may take until it waits for what comes."""

_SESSION = Path(__file__).with_name("page_session.py").read_text(encoding="utf-8")
_ADDRESS = re.compile(r"\b(?:localhost|127\.0\.0\.1):(\d+)\b")
_PORT = re.compile(r"(--port[ =])(\d+)")
_API = re.compile(r"\bdotflow api\b(?!.*--port)")
_ENDED_BY_CTRL_C = (0, 130, -signal.SIGINT)


class PageFailed(AssertionError):
    """A block of a page did not do what the page says."""


class PageRun:
    """A page that is being run; a context manager, which ends whatever the page started.

    Args:
        folder: An empty one, for the page's files and its home.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "page"
        self._home = folder / "home"
        for one in (self.folder, self._home):
            one.mkdir()
        self._open = contextlib.ExitStack()
        self._ports: dict[int, int] = {}  # as the page says them: as they are
        self._environment = self._clean()
        self._session: _Session | None = None
        self._going: list[_Going] = []
        self._has_run = False
        self._said = ""
        self._last: _Going | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end(is_well=kind is None)
        finally:
            self._open.close()

    def run(self, block: Block) -> None:
        """Run a block, parse it, or compare it with the output of the one before."""
        blocks.check_syntax(block)
        if block.language == "text":
            if block.follows and self._has_run:
                self._compare(block)
            return
        self._said, self._last, self._has_run = "", None, block.is_run
        if block.mark != "not run":
            if block.file:
                self._write(block)
            self._said = self._run(block)

    def _run(self, block: Block) -> str:
        if not block.is_run:
            return ""
        if block.mark == "stops":
            self._last = self._start(block)
            return ""
        if block.language in blocks.SHELLS:
            return "".join(self._shell(block, *one) for one in blocks.commands(block))
        if block.file:
            return self._process(block, [sys.executable, block.file])
        if self._session is None:
            self._session = _Session(self.folder, self._environment)
        return self._session.run(block, self._with_addresses(block.source))

    def _compare(self, block: Block) -> None:
        deadline = time.monotonic() + LIMIT
        while (missing := self._missing(block.source)) and self._last:
            if time.monotonic() > deadline or not self._last.is_alive:
                break
            time.sleep(0.05)
        if missing:
            raise PageFailed(f"{block}: this line did not come: {missing}\n{self.said}")

    @property
    def said(self) -> str:
        """What the last block wrote, with the addresses of the page."""
        return self._as_on_the_page(self._last.said if self._last else self._said)

    def _missing(self, expected: str | list[str]) -> str | None:
        if isinstance(expected, str):
            expected = expected.splitlines()
        return blocks.missing_line([self._plain(one) for one in expected], self.said)

    def _shell(self, block: Block, command: str, expected: list[str]) -> str:
        said = self._process(block, _bash(self._with_addresses(command)))
        self._said = said
        if missing := self._missing(expected):
            raise PageFailed(f"{block}: this line did not come: {missing}\n{self.said}")
        return said

    def _process(self, block: Block, command: list[str]) -> str:
        going = _Going(block, command, self.folder, self._environment)
        try:
            status = going.ends()
            if status != block.status:
                raise PageFailed(f"{block} ended with status {status}:\n{going.said}")
            going.has_left_nothing()
        finally:
            going.kill()
        return going.said

    def _start(self, block: Block) -> _Going:
        """Start what goes on until the page ends, on free ports; wait until it listens there."""
        found = [int(one[1]) for one in _PORT.findall(block.source)]
        found += [8000] * bool(_API.search(block.source))
        for port in found:
            self._ports[port] = _free_port()
        source = _PORT.sub(lambda one: f"{one[1]}{self._ports[int(one[2])]}", block.source)
        source = _API.sub(f"dotflow api --port {self._ports.get(8000)}", source)
        command = _bash(self._with_addresses(source))
        going = _Going(block, command, self.folder, self._environment)
        self._going.append(going)
        for port in found:
            going.wait_until_listening(self._ports[port])
        return going

    def _write(self, block: Block) -> None:
        assert block.file
        file = self.folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._with_addresses(block.source), encoding="utf-8")

    def _with_addresses(self, source: str) -> str:
        def real(found: re.Match[str]) -> str:
            said = int(found[1])
            if said not in self._ports:
                self._serve(said)
            return f"127.0.0.1:{self._ports[said]}" if said in self._ports else found[0]

        return _ADDRESS.sub(real, source)

    def _serve(self, port: int) -> None:
        if port in (4317, 4318):
            receiver = self._open.enter_context(OtlpReceiver())
            receiver.takes_metrics = True
            for said, url in ((4317, receiver.grpc_url), (4318, receiver.http_url)):
                self._ports[said] = int(url.rpartition(":")[2])
        elif port == 8000:
            from dotflow.api import ApiServer

            server = ApiServer(f"sqlite:///{self._home}/records.db")
            self._open.enter_context(server)
            self._ports[port] = int(server.url.rpartition(":")[2])

    def _as_on_the_page(self, output: str) -> str:
        said = {real: said for said, real in self._ports.items()}

        def plain(found: re.Match[str]) -> str:
            port = said.get(int(found[1]))
            return f"localhost:{port}" if port else found[0]

        return _ADDRESS.sub(plain, output)

    def _plain(self, line: str) -> str:
        def plain(found: re.Match[str]) -> str:
            return f"localhost:{found[1]}" if int(found[1]) in self._ports else found[0]

        return _ADDRESS.sub(plain, line)

    def _clean(self) -> dict[str, str]:
        """The environment of somebody who begins: nothing is set, the commands are on the path."""
        dropped = ("DOTFLOW_", "OTEL_", "XDG_", "SERVER_", "PYTEST_", "COV_", "COVERAGE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        for name in ("COLUMNS", "LINES", "FORCE_COLOR", "WORKFLOW_ID", "TRACEPARENT"):
            kept.pop(name, None)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**kept, "PATH": path, "HOME": str(self._home), "PYTHONDONTWRITEBYTECODE": "1"}

    def _end(self, is_well: bool) -> None:
        """End what goes on: as Ctrl-C does if all went well, else at once."""
        try:
            if is_well:
                for going in reversed(self._going):
                    going.interrupt()
                if self._session:
                    self._session.close()
        finally:
            for going in self._going:
                going.kill()
            if self._session:
                self._session.going.kill()
                self._session.drop()


class _Going:
    """A process of a page, in a group of its own, with what it wrote."""

    def __init__(
        self,
        block: Block | str,
        command: list[str],
        folder: Path,
        environment: dict[str, str],
        **options: object,
    ) -> None:
        self._block = block
        self._final = ""
        self._has_begun = False
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    @property
    def said(self) -> str:
        if self._output.closed:
            return self._final
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def ends(self) -> int:
        """Wait for its end; the exit status."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise PageFailed(f"{self._block} does not end:\n{self.said}") from None

    def wait_until_listening(self, port: int) -> None:
        deadline = time.monotonic() + LIMIT
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                self._has_begun = True
                return
            if not self.is_alive or time.monotonic() > deadline:
                raise PageFailed(f"{self._block} does not listen at port {port}:\n{self.said}")
            time.sleep(0.05)

    def interrupt(self) -> None:
        """End it as Ctrl-C does; it has to run until now, and to end well."""
        self._wait_until_begun()
        if not self.is_alive:
            raise PageFailed(f"{self._block} ended by itself:\n{self.said}")
        os.killpg(self.process.pid, signal.SIGINT)
        status = self.ends()
        if status not in _ENDED_BY_CTRL_C or "Traceback" in self.said:
            raise PageFailed(f"{self._block} ended with {status} at Ctrl-C:\n{self.said}")
        self.has_left_nothing()

    def _wait_until_begun(self) -> None:
        """Until it waits for something: nobody presses Ctrl-C while a program is being imported."""
        began = waits_since = time.monotonic()
        while not self._has_begun and self.is_alive and time.monotonic() < began + BEGIN_LIMIT:
            if not _do_all_wait(self.process.pid):
                waits_since = time.monotonic()
            self._has_begun = time.monotonic() > waits_since + 1.0
            time.sleep(0.05)

    def has_left_nothing(self) -> None:
        """Hold that the processes that it started have ended, or end now."""
        deadline = time.monotonic() + LEFT_LIMIT
        while self._group_is_alive():
            if time.monotonic() > deadline:
                raise PageFailed(f"{self._block} left a process running:\n{self.said}")
            time.sleep(0.02)

    def _group_is_alive(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """End it and all that it started, if it has not ended."""
        if not self._output.closed:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._final = self.said
            self._output.close()


class _Session:
    """The interpreter that the snippets of a page share."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        answers, write_end = os.pipe()
        command = [sys.executable, "-c", _SESSION, str(write_end)]
        self.going = _Going(
            "the page's snippets", command, folder, environment,
            stdin=subprocess.PIPE, pass_fds=(write_end,),
        )  # fmt: skip
        os.close(write_end)
        self._answers = os.fdopen(answers)

    def run(self, block: Block, source: str) -> str:
        before = len(self.going.said)
        stdin = self.going.process.stdin
        snippet = {"page": str(block.page), "line": block.line, "source": source}
        stdin.write(json.dumps(snippet).encode() + b"\n")
        stdin.flush()
        timer = _after(LIMIT, self.going.process.kill)
        try:
            answer = self._answers.readline()
        finally:
            timer.cancel()
            timer.join()
        said = self.going.said[before:]
        if answer != "ran\n":
            raise PageFailed(f"{block} failed:\n{said}")
        return said

    def close(self) -> None:
        """End it as the end of a program does."""
        self.going.process.stdin.close()
        if status := self.going.ends():
            raise PageFailed(f"the page's snippets ended with {status}:\n{self.going.said}")
        self.going.has_left_nothing()

    def drop(self) -> None:
        self.going.process.stdin.close()
        self._answers.close()


def _do_all_wait(group: int) -> bool:
    """Whether all processes of a group sleep, as far as the system tells."""
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            states += [state] * (int(its_group) == group)
    return bool(states) and set(states) == {"S"}


def _after(seconds: float, act: object) -> object:
    import threading

    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def _bash(source: str) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", source]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_page(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run a page's blocks in order; each with what it wrote."""
    blocks.check_marks(page)
    with PageRun(folder) as run:
        for example in blocks.examples(page, run.run):
            example.evaluate()
            yield example.parsed, run.said


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        for done, output in run_page(Path(sys.argv[1]).resolve(), Path(made)):
            if done.language not in blocks.SHOWN:
                sys.stdout.write(f"--- {done} {done.language} {done.mark}\n{output}")
