"""Objects by their import string."""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from typing import Any

from dotflow.core.exception import ImportModuleError


class Module:
    """`Module("pkg.mod.attr")` or `Module("pkg.mod:attr")` is that object.

    Anything that is no string is returned as it is.

    Raises:
        ImportModuleError: The string has no module part, or nothing is there. What the module
            itself raises when imported is let through.
    """

    def __new__(cls, value: Any) -> Any:  # noqa: D102 - the class says it
        return _load(value) if isinstance(value, str) else value


def _load(path: str) -> Any:
    module_name, _, attributes = path.rpartition(":" if ":" in path else ".")
    if not module_name or not attributes:
        raise ImportModuleError(path)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        # Only where the module that was asked for (or a package above it) is missing: a module
        # that is there and lacks something itself has its own story to tell.
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ImportModuleError(path) from error
        raise
    except (TypeError, ValueError) as error:  # a relative or an empty name
        if module_name.startswith(".") or not all(module_name.split(".")):
            raise ImportModuleError(path) from error
        raise
    try:
        return reduce(getattr, attributes.split("."), module)
    except AttributeError as error:
        raise ImportModuleError(path) from error
