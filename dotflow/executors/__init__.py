"""Where steps run beyond this process: `start(mode="parallel", executor=...)`."""

from dotflow.abc.executor import TaskExecutor
from dotflow.executors.standard import StandardExecutor

__all__ = ["StandardExecutor", "TaskExecutor"]
