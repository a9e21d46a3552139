"""The library's own logger: what it has to say of itself, not of the runs."""

from __future__ import annotations

import logging

from dotflow.settings import Settings


def _make() -> logging.Logger:
    made = logging.getLogger(Settings.LOG_PROFILE)
    made.setLevel(logging.INFO)
    if not made.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(Settings.LOG_FORMAT))
        made.addHandler(handler)
    return made


logger = _make()
