"""Config: one provider a slot."""

from __future__ import annotations

import pytest

from dotflow import Config, DotFlow, providers
from dotflow.core.exception import NotCallableObject

SLOTS = ["storage", "notify", "log", "server", "scheduler", "tracer", "metrics"]


@pytest.mark.parametrize("slot", SLOTS)
def test_defaults(slot):
    """A slot that is not given, or None, holds a default of its own."""
    cls = getattr(providers, f"{slot.capitalize()}Default")
    assert type(getattr(Config(), slot)) is cls
    config = Config(**{slot: None})
    assert type(getattr(config, slot)) is cls
    assert getattr(config, slot) is not getattr(Config(), slot)


@pytest.mark.parametrize("slot", SLOTS)
def test_given_providers_are_kept(slot):
    """A provider that is given is the one that is held."""
    given = getattr(providers, f"{slot.capitalize()}Default")()
    assert getattr(Config(**{slot: given}), slot) is given


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("wrong", [5, "x", object(), "the class"])
def test_other_values_are_refused(slot, wrong):
    """What is no instance of the slot's contract is refused, naming the slot."""
    if wrong == "the class":
        wrong = getattr(providers, f"{slot.capitalize()}Default")
    got = (
        f"the class .*: write {wrong.__name__}" if isinstance(wrong, type) else "a (int|str|object)"
    )
    wanted = rf"it must be a dotflow\.abc\.{slot}\.{slot.capitalize()}, not {got}"
    with pytest.raises(NotCallableObject, match=f"'{slot}' is not .*: {wanted}"):
        Config(**{slot: wrong})


def test_order_of_the_slots():
    """The slots can be given by position, in the contract's order."""
    given = [getattr(providers, f"{slot.capitalize()}Default")() for slot in SLOTS]
    config = Config(*given)
    assert [getattr(config, slot) for slot in SLOTS] == given


def test_it_says_what_differs_and_no_secret():
    """What is printed names the Server with its address, and no token or password."""
    from dotflow.otel import ServerOtel

    assert repr(Config()) == "Config(server=ServerDefault())"
    server = providers.ServerDefault("http://host:8000", "canary-4711")
    storage = providers.StorageFile(path="kept")
    assert repr(Config(server=server, storage=storage)) == (
        "Config(storage=StorageFile, server=ServerDefault(base_url='http://host:8000'))"
    )
    otel = ServerOtel("http://host:8000", "canary-4711", endpoint="http://u:canary-4711@otlp:4318")
    said = repr(DotFlow(config=Config(server=otel), name="etl", workflow_id="w1"))
    assert said == (
        "<workflow 'etl', w1: 0 tasks, Config(server=ServerOtel(base_url='http://host:8000', "
        "dialect='default', endpoint='http://otlp:4318'))>"
    )


def test_what_cannot_be_said_is_its_class():
    """A provider whose own words fail, or name a credential, spoils nothing."""

    class Odd(providers.NotifyDefault):
        def __repr__(self):
            raise RuntimeError

    class Told(providers.NotifyDefault):
        def __repr__(self):
            return "Told(password='canary-4711')"

    assert "notify=Odd" in repr(Config(notify=Odd()))
    assert "canary" not in repr(Config(notify=Told()))
