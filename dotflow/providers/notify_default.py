"""The Notify of who wants to be told of nothing."""

from __future__ import annotations

from dotflow.abc.notify import Notify
from dotflow.utils.basic_functions import basic_function


class NotifyDefault(Notify):
    """Tells nobody: the default if `DOTFLOW_NOTIFY_URLS` is not set."""

    hook_status_task = basic_function  # the engine knows it, and does not call it
