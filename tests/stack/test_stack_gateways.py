"""An agent, two gateways: each trace is whole at one of them, which keeps what failed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from stack_jaeger import trace
from stack_many import NAMES
from stack_runs import Program
from stack_servers import DEADLINE, Collector, environment, free_port, until

PROGRAM = Path(__file__).with_name("stack_many.py")
RUNS = 64
"""Each gateway must get some of the half that fail. The ring gives one of them up to 62 % of the
traces, so all 32 go to the same gateway once in millions of times."""

_TRACE = re.compile(r"^ *Trace ID *: ([0-9a-f]{32})$", re.MULTILINE)


class Gateway(Collector):
    """One that keeps no run which completed, and writes down what it passes on."""

    def __init__(self, binaries, folder, jaeger):
        super().__init__(
            binaries, folder, jaeger.otlp, added="gateway.yaml",
            COLLECTOR_EXPORTERS="[otlp_grpc, debug]", COLLECTOR_DEBUG_VERBOSITY="detailed",
            SAMPLING_PERCENT=0, SAMPLING_WAIT="1s",
        )  # fmt: skip

    def passed_on(self):
        """How many spans of each trace."""
        return Counter(_TRACE.findall(self.log.read_text(errors="replace")))

    def dropped(self):
        """How many traces it has decided not to keep, since it was started."""
        with urllib.request.urlopen(self.metrics_url, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        counts = [line for line in lines if "global_count_traces_sampled" in line]
        return sum(int(float(one.split()[-1])) for one in counts if 'sampled="false"' in one)


class Agent(Collector):
    """One that passes on to two gateways."""

    def __init__(self, binaries, folder, one, two):
        super().__init__(
            binaries, folder, "nowhere:1", added="agent.yaml",
            GATEWAY_1=f"localhost:{one.grpc_port}", GATEWAY_1_LOCAL=free_port(),
            GATEWAY_2=f"localhost:{two.grpc_port}", GATEWAY_2_LOCAL=free_port(),
        )  # fmt: skip


@pytest.fixture
def gateways(binaries, jaeger, tmp_path):
    with (
        Gateway(binaries, _made(tmp_path / "one"), jaeger) as one,
        Gateway(binaries, _made(tmp_path / "two"), jaeger) as two,
    ):
        yield one, two


@pytest.fixture
def agent(binaries, gateways, tmp_path):
    with Agent(binaries, _made(tmp_path / "agent"), *gateways) as one:
        yield one


def _made(folder):
    folder.mkdir()
    return folder


def _runs(agent, folder):
    """Runs of one program, all of which the agent has taken: whether each failed, by trace."""
    otlp = f"http://localhost:{agent.http_port}"
    ended = subprocess.run(
        [sys.executable, PROGRAM, str(RUNS)],
        env=environment(OTEL_EXPORTER_OTLP_ENDPOINT=otlp, DOTFLOW_STATE_DIR=folder / "state"),
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    return {one["trace"]: one["failed"] for one in told}


def _check_kept(jaeger, runs):
    """The runs that failed are in Jaeger, each whole and once; no other ever comes."""

    def check():
        for one in (one for one, failed in runs.items() if failed):
            assert Counter(span.name for span in trace(jaeger, one)) == Counter(NAMES)
        return True

    until(check, "a run that failed is not whole")
    assert not [one for one, failed in runs.items() if not failed and trace(jaeger, one)]


def test_each_trace_is_whole_at_one_gateway(agent, gateways, jaeger, tmp_path):
    """Both gateways get traces, none gets a part of one; what failed is kept, the rest is not."""
    runs = _runs(agent, tmp_path)
    failed = {one for one, is_failed in runs.items() if is_failed}
    until(
        lambda: sum(one.dropped() for one in gateways) == len(runs) - len(failed),
        "not all runs that completed are decided on",
    )
    _check_kept(jaeger, runs)
    until(
        lambda: sum(one.passed_on().total() for one in gateways) >= len(failed) * len(NAMES),
        "the gateways have not written down all that they passed on",
    )
    first, second = (one.passed_on() for one in gateways)
    assert first
    assert second
    assert not first.keys() & second.keys()
    assert first | second == Counter(dict.fromkeys(failed, len(NAMES)))


def test_a_gateway_and_the_agent_are_killed(agent, gateways, jaeger, tmp_path):
    """What one gateway would get waits on the agent's disk, and the other goes on meanwhile."""
    gone, other = gateways
    gone.kill()
    runs = _runs(agent, tmp_path)
    until(other.passed_on, "the other gateway gets nothing")
    agent.kill()
    agent.start()
    gone.start()
    _check_kept(jaeger, runs)
    assert gone.passed_on()


def test_a_gateway_that_is_stopped_passes_on_what_it_holds(agent, gateways, jaeger, tmp_path):
    """What is known of a run under way is kept when a gateway is stopped."""
    otlp = f"http://localhost:{agent.http_port}"
    with Program(tmp_path / "p", "gates", otlp=otlp, DOTFLOW_TRACE_MARKERS=1) as program:
        program.reach("first")
        program.open("first")
        program.reach("second")
        until(lambda: any(_has_spans(one) for one in gateways), "no gateway has a span")
        assert trace(jaeger, program.trace_id) == []
        for one in gateways:
            one.stop()
        for one in gateways:
            one.start()  # what could not be sent before the end waits on the disk
        until(
            lambda: "gated" in {span.name for span in trace(jaeger, program.trace_id)},
            "the run that was under way is not kept",
        )


def _has_spans(gateway):
    """Whether it has got the spans of the first task."""
    with urllib.request.urlopen(gateway.metrics_url, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("otelcol_receiver_accepted_spans")]
    return sum(float(one.split()[-1]) for one in counts) >= 4
