"""What is kept in short of a plan and of errors, so that lists need not read them."""

import json
from typing import Any

_MOST_TEXT = 4000


def digest_plan(text: str) -> dict[str, Any]:
    """Gives the columns that say in short what a plan says.

    Args:
        text: The plan as JSON.
    """
    return {"planned": len(json.loads(text))}


def digest_errors(text: str) -> dict[str, Any]:
    """Gives the columns that say in short what a task's errors say.

    Args:
        text: The errors as JSON: a list of those that `schemas.TaskError` describes.
    """
    errors = json.loads(text)
    if not errors:
        return {"error_count": 0, "last_error": None, "error_text": None}
    # The last one first: it is the one that matters, and the one that is kept.
    said = "\n".join(f"{one['exception']}: {one['message']}" for one in reversed(errors))
    return {
        "error_count": len(errors),
        "last_error": _kept(errors[-1]["exception"]),
        "error_text": _kept(said),
    }


def _kept(text: str) -> str:
    # A NUL is no text to PostgreSQL.
    return text[:_MOST_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}")
