"""A new release of OpenTelemetry that has something new to be met is noticed here."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor
from sdk_surface import KNOWN, MET, members, ours, parameters, short

from dotflow.otel.export.provider.own import SpanProcessors

OURS = ours()
SDK = f"opentelemetry-sdk {version('opentelemetry-sdk')}"


@pytest.mark.parametrize("cls", KNOWN, ids=short)
def test_nothing_is_new(cls):
    """Each public member of a class that we build on, and each parameter of it, is known."""
    for name, found in members(cls).items():
        assert name in KNOWN[cls], (
            f"{SDK}: {short(cls)}.{name} is new. See what our classes have to do with it (the SDK "
            "may call it on them, or a user on ours), then add it to KNOWN in sdk_surface.py."
        )
        known = KNOWN[cls][name]
        new = set(found or ()) - set((known or "").split())
        assert not new, (
            f"{SDK}: {short(cls)}.{name} has new parameters {sorted(new)}. See whether ours have "
            "to take or give them, then add them to KNOWN in sdk_surface.py."
        )
        assert (known is None) == (found is None), f"{SDK}: {short(cls)}.{name} is of another kind"


def test_every_class_of_ours_is_looked_at():
    """A class of ours that is one of OpenTelemetry's has an entry, and so has its base."""
    missing = sorted({short(cls) for cls in OURS} - set(MET))
    assert not missing, f"add {missing} to MET in sdk_surface.py"
    bases = {base for found in OURS.values() for base in found}
    unknown = sorted(short(base) for base in bases - set(KNOWN))
    assert not unknown, f"add {unknown}, which ours derive from, to KNOWN in sdk_surface.py"


@pytest.mark.parametrize("cls", OURS, ids=short)
def test_each_member_is_met(cls):
    """Ours define each member themselves, or it is written down why they need not."""
    for base in OURS[cls]:
        for name, wanted in members(base).items():
            own = any(name in vars(one) for one in cls.__mro__[: cls.__mro__.index(base)])
            if not own:
                assert name in MET.get(short(cls), {}) or name == "__init__", (
                    f"{SDK}: {short(cls)} does not define {name} of {short(base)}. Define it, or "
                    "say in MET in sdk_surface.py why it need not."
                )
            elif name != "__init__" and wanted is not None:
                _takes(cls, name, wanted)


def test_our_list_of_processors_can_do_what_the_sdks_can():
    """The provider is given our list in place of the SDK's: whatever it calls there is here."""
    for name, wanted in members(SynchronousMultiSpanProcessor).items():
        if name != "__init__":
            assert name in vars(SpanProcessors), f"{SDK}: SpanProcessors has no {name}"
            _takes(SpanProcessors, name, wanted)


def _takes(cls, name, wanted):
    missing = [one.strip("_") for one in wanted]
    taken = [one.strip("_") for one in parameters(cls, name)]
    if taken[:1] == ["processor"] and missing == ["span_processor"]:
        return  # given by position
    missing = [one for one in missing if one not in taken]
    assert not missing, f"{SDK}: {short(cls)}.{name} does not take {missing}"
