"""Decorators that are not steps."""

from dotflow.core.decorators.time import time

__all__ = ["time"]
