"""A program whose runs are measured: python metrics_program.py CASE [METHOD].

It closes nothing by hand: what is measured leaves when it ends.
"""

from __future__ import annotations

import os
import signal
import sys

from opentelemetry import metrics

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, MetricsOpenTelemetry

CASE, METHOD = sys.argv[1], sys.argv[-1]


@action
def fine():
    metrics.get_meter("shop").create_counter("sold").add(1)


@action
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@action(retry=2, retry_delay=0)
def flaky(initial_context):
    if not os.path.exists(initial_context.storage):  # noqa: PTH110
        open(initial_context.storage, "w").close()  # noqa: PTH123
        raise ValueError("not yet")


def config_of(case):
    log = LogDefault(level="ERROR", output="file", path="log")
    if case == "alone":
        return Config(metrics=MetricsOpenTelemetry(), log=log)
    return Config(server=ServerOtel(), log=log)


def run(config, *steps, **how):
    flow = DotFlow(config=config, name="shop")
    for step in steps:
        flow.task.add(step, initial_context="flag")
    return flow.start(keep_going=True, **how)


def main():
    config = config_of(CASE)
    if CASE == "children":
        manager = run(config, fine, killed, flaky, fine, mode="parallel", start_method=METHOD)
        sys.stdout.write(manager.trace_id)
    elif CASE == "alone":
        run(config, fine, flaky, fine)
    else:
        run(config, fine, fine)
        config.server.flush(60)
        for does_run in (True, False):
            child = os.fork()
            if child == 0:
                if does_run:
                    run(config, fine)
                sys.exit(0)  # as a program ends, with its exit handlers
            os.waitpid(child, 0)
        run(config, fine)


if __name__ == "__main__":
    main()
