"""The constants that programs compare with most."""

from dotflow.core.types import TypeStatus, TypeStorage

__all__ = ["TypeStatus", "TypeStorage"]
