"""JSON text: what `json` would write, by an encoder that is made once."""

from __future__ import annotations

import json
from json import encoder

import pytest

from dotflow.utils.json_text import encoder_of

VALUES = [
    None, True, 1, -2.5, 1e300, "", 'a "text"\n', "größer", "\U0001f600", [], [1, [2]], {},
    {"a": {"b": [1.5, None]}, 'c"': "x"},
]  # fmt: skip


@pytest.fixture(params=["fast", "plain"])
def kind(request, monkeypatch):
    """With the encoder of C, and where an interpreter has none."""
    if request.param == "plain":
        monkeypatch.setattr(encoder, "c_make_encoder", None)
    return request.param


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("is_compact", [True, False])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_it_is_the_text_of_json(is_compact, is_ascii):
    """Each value as `json.dumps` writes it."""
    encode = encoder_of(is_compact=is_compact, is_ascii=is_ascii)
    separators = (",", ":") if is_compact else (", ", ": ")
    for value in VALUES:
        wanted = json.dumps(value, separators=separators, ensure_ascii=is_ascii)
        assert encode(value) == wanted


@pytest.mark.usefixtures("kind")
def test_what_is_no_json():
    """It raises, or something stands for it."""
    with pytest.raises(TypeError):
        encoder_of()(object)
    assert encoder_of(default=repr)({"a": 1j}) == '{"a":"1j"}'
    with pytest.raises(ValueError, match="JSON"):
        encoder_of(allow_nan=False)(float("nan"))
    assert encoder_of()([float("inf")]) == "[Infinity]"
