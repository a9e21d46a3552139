"""Runs a machine of Hypothesis with each rule as likely as each other one, from a seed."""

from __future__ import annotations

import contextlib
import random

_EDGE = 0.4
"""How often a number is the least or the greatest one."""


def run_at_random(machine, seed, steps):
    """Take so many steps; a failure says the statements that lead to it.

    Args:
        machine: A class of `RuleBasedStateMachine`, whose rules draw numbers, booleans, samples
            and lists of these.
        seed: What makes the same history again.
        steps: How many.
    """
    draws, said = random.Random(seed), []
    setup = machine.setup_state()
    state = machine()
    try:
        for _ in range(steps):
            _check(state, setup)
            able = [one for one in setup.rules if all(may(state) for may in one.preconditions)]
            rule = draws.choice(able)
            arguments = {
                name: _drawn(draws, one) for name, one in rule.arguments_strategies.items()
            }
            words = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            said.append(f"state.{rule.function.__name__}({words})")
            rule.function(state, **arguments)
        _check(state, setup)
    except BaseException as error:
        _end(state)
        raise AssertionError(_told(seed, said)) from error
    try:
        state.teardown()
    except Exception as error:
        raise AssertionError(_told(seed, [*said, "state.teardown()"])) from error


def _check(state, setup):
    for one in setup.invariants:
        one.function(state)


def _end(state):
    with contextlib.suppress(Exception):  # what failed first is told
        state.teardown()


def _told(seed, said):
    return "\n".join([f"seed {seed}:", *said])


def _drawn(draws, strategy):
    strategy = getattr(strategy, "wrapped_strategy", strategy)
    kind = type(strategy).__name__
    if kind == "IntegersStrategy":
        ends = strategy.start, strategy.end
        return draws.choice(ends) if draws.random() < _EDGE else draws.randint(*ends)
    if kind == "BooleansStrategy":
        return draws.random() < 0.5
    if kind == "SampledFromStrategy":
        return draws.choice(list(strategy.elements))
    assert kind == "ListStrategy", kind
    return [_drawn(draws, strategy.element_strategy) for _ in range(strategy.min_size)]
