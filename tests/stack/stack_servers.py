"""The real servers, as processes that can be stopped, killed and started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DOTFLOW = Path(sys.executable).with_name("dotflow")
TOKEN = "s3cr3t-t0ken"
DEADLINE = 90.0
"""Seconds that anything may take on a machine with other work to do."""

# Below the ports that the system gives to outgoing connections, so that a server that was stopped
# finds its own still free.
PORTS = range(15_000, 32_000)


def until(check, what, deadline=DEADLINE):
    """What `check` gives as soon as it gives something, and no AssertionError."""
    end = time.monotonic() + deadline
    while True:
        try:
            if found := check():
                return found
            failed = AssertionError(f"{what}: not within {deadline:.0f} s")
        except AssertionError as error:
            failed = error
        if time.monotonic() > end:
            raise failed
        time.sleep(0.05)


def free_port():
    for port in random.sample(PORTS, 100):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def is_up(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def environment(**more):
    """What a program is started with: nothing of ours but what is said here."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **{name: str(value) for name, value in more.items()},
    }


class Server:
    """A process with a health check; a context manager."""

    def __init__(self, name, folder, command, health, **variables):
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [str(part) for part in command]
        self._folder = folder
        self._health = health
        self._environment = environment(**variables)
        self._process = None

    def start(self):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        try:
            until(self._came_up, f"{self.name} does not come up")
        except BaseException:
            self.kill()
            raise

    def _came_up(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.said()}")
        return is_up(self._health)

    def stop(self):
        """End it as a service manager does, and wait for that."""
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def _end(self, number):
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    def said(self):
        """The end of what it logged."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Collector(Server):
    """The Collector, with the very files that the docs tell to run; None is a store less.

    Args:
        added: What is added to collector-config.yaml: the name of a file in docs/collector.
    """

    def __init__(
        self, binaries, folder, traces, *, metrics=None, logs=None, added=None, **variables
    ):
        self.grpc_port, self.http_port, health, own = (free_port() for _ in range(4))
        self.metrics_url = f"http://localhost:{own}/metrics"
        files = [ROOT / "collector-config.yaml"]
        files += [ROOT / "docs" / "collector" / added] if added else []
        super().__init__(
            added or "collector",
            folder,
            [binaries / "otelcol", *(f"--config={file}" for file in files)],
            f"http://localhost:{health}/",
            COLLECTOR_GRPC_PORT=self.grpc_port,
            COLLECTOR_HTTP_PORT=self.http_port,
            COLLECTOR_HEALTH_PORT=health,
            COLLECTOR_METRICS_PORT=own,
            COLLECTOR_QUEUE_FOLDER=folder / "queue",
            TRACES_ENDPOINT=traces,
            **_store("METRICS", metrics),
            **_store("LOGS", logs),
            **variables,
        )


def _store(signal, endpoint):
    if endpoint is None:
        return {f"COLLECTOR_{signal}_EXPORTERS": "[nop]"}
    return {f"{signal}_ENDPOINT": endpoint}


class Jaeger(Server):
    """Jaeger v2, with traces in memory or on disk."""

    def __init__(self, binaries, folder, *, on_disk=False):
        self.grpc_port, self.http_port, query, query_grpc, health = (free_port() for _ in range(5))
        self.url = f"http://localhost:{query}"
        files = [HERE / "jaeger.yaml", *([HERE / "jaeger-disk.yaml"] if on_disk else [])]
        super().__init__(
            "jaeger",
            folder,
            [binaries / "jaeger", *(f"--config={file}" for file in files)],
            f"http://localhost:{health}/status",
            JAEGER_OTLP_PORT=self.grpc_port,
            JAEGER_HTTP_PORT=self.http_port,
            JAEGER_QUERY_PORT=query,
            JAEGER_GRPC_PORT=query_grpc,
            JAEGER_HEALTH_PORT=health,
            JAEGER_FOLDER=folder / "traces",
        )

    @property
    def otlp(self):
        return f"localhost:{self.grpc_port}"


class Api(Server):
    """The reference dotflow-api, as `dotflow api` starts it."""

    def __init__(self, folder):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            "dotflow-api",
            folder,
            [DOTFLOW, "api", "--port", port,
             "--database", f"sqlite:///{folder / 'records.db'}"],
            f"{self.url}/healthz",
            DOTFLOW_API_TOKEN=TOKEN,
        )  # fmt: skip


class Prometheus(Server):
    """Prometheus 3, with the very file and flags that a user copies."""

    def __init__(self, binaries, folder):
        port = free_port()
        self.url = f"http://localhost:{port}"
        self.otlp = f"{self.url}/api/v1/otlp"
        super().__init__(
            "prometheus",
            folder,
            [binaries / "prometheus", f"--config.file={ROOT / 'observability' / 'prometheus.yml'}",
             "--web.enable-otlp-receiver", "--enable-feature=exemplar-storage",
             f"--web.listen-address=localhost:{port}", f"--storage.tsdb.path={folder / 'series'}"],
            f"{self.url}/-/ready",
        )  # fmt: skip


class VictoriaLogs(Server):
    """VictoriaLogs, which keeps log records on disk."""

    def __init__(self, binaries, folder):
        port = free_port()
        self.url = f"http://localhost:{port}"
        self.otlp = f"{self.url}/insert/opentelemetry"
        super().__init__(
            "victoria-logs",
            folder,
            [binaries / "victoria-logs", f"-httpListenAddr=localhost:{port}",
             f"-storageDataPath={folder / 'records'}"],
            f"{self.url}/health",
        )  # fmt: skip
