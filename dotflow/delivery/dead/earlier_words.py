"""What the version before wrote down as it was, as it may be said: it masked spans alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dotflow.delivery.fold.bodies import CONTEXTS, PLAN, replaced
from dotflow.runlog.texts import Texts

if TYPE_CHECKING:
    from dotflow.delivery.message import Message


def worded(message: Message) -> Message:
    """The message without credentials; the same one if it names none.

    What a program's `redact` hides nobody knows any more: the options of a Server were not kept.
    """
    try:
        fields = json.loads(message.body)
    except ValueError:
        return message
    if not isinstance(fields, dict):
        return message
    texts = Texts()
    said = {name: _said(texts, name, value) for name, value in fields.items()}
    return message if said == fields else replaced(message, said)


def _said(texts: Texts, name: str, value: Any) -> Any:
    if name in CONTEXTS:
        return json.loads(texts.of("current", value))
    if name in ("name", "group_name"):
        return texts.name(value) if isinstance(value, str) else value
    if name == "errors" and isinstance(value, list):
        return [_fields(texts, one) for one in value]
    if name == PLAN and isinstance(value, list):
        return [_fields(texts, one) for one in value]
    return value


def _fields(texts: Texts, known: Any) -> Any:
    """The texts of an error, or of a planned task."""
    if not isinstance(known, dict):
        return known
    return {
        name: texts.said(value, name == "traceback") if isinstance(value, str) else value
        for name, value in known.items()
    }
