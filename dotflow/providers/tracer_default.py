"""The Tracer of who traces nothing, or through a Server."""

from __future__ import annotations

from dotflow.abc.tracer import Tracer
from dotflow.utils.basic_functions import basic_function


class TracerDefault(Tracer):
    """Traces nothing: the default of the slot `tracer`."""

    # The engine knows this function, and does not call it on the way of a task.
    start_workflow = end_workflow = start_task = end_task = basic_function
