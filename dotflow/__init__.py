"""A small workflow library whose every run can be seen while it happens."""

from dotflow.version import __version__ as __version__

__description__ = (
    "dotflow: workflows whose every run is an OpenTelemetry trace and a set of records."
)

from dotflow.core.action import action
from dotflow.core.config import Config
from dotflow.core.context import Context
from dotflow.core.dotflow import DotFlow
from dotflow.core.exception import WorkflowFailed
from dotflow.core.task import Task

__all__ = ["Config", "Context", "DotFlow", "Task", "WorkflowFailed", "action"]
