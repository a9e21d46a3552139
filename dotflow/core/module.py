"""Objects by their import string."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ImportModuleError
from dotflow.utils.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

FORM = "write it as 'package.module.name' or 'package.module:name'"
MOST_NAMES = 8
"""Names of a module that are shown where none is near."""


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
    separator = ":" if ":" in path else "."
    module_name, _, attributes = path.rpartition(separator)
    if not module_name or not attributes:
        raise ImportModuleError(path, _without_a_module(path))
    if "/" in module_name or attributes == "py":
        raise ImportModuleError(path, _of_a_file(path))
    if not all(module_name.split(".")):
        raise ImportModuleError(path, FORM)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        # Only where the module that was asked for (or a package above it) is missing: a module
        # that is there and lacks something itself has its own story to tell.
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ImportModuleError(path, _without(error.name)) from error
        raise
    return _within(path, module, module_name, attributes)


def _within(path: str, module: Any, where: str, attributes: str) -> Any:
    found, name = module, ""
    try:
        for name in attributes.split("."):
            found, where = getattr(found, name), f"{where}.{name}"
    except AttributeError as error:
        raise ImportModuleError(path, _lacking(found, where, name)) from error
    return found


def _without_a_module(path: str) -> str:
    if path.isidentifier() and path in _modules_in(None):
        return f"'{path}' is a module; name something in it, as in '{path}.NAME'"
    return f"it names no module; {FORM}"


def _of_a_file(path: str) -> str:
    file, _, name = path.partition(":")
    module = file.removesuffix(".py").strip("./").replace("/", ".")
    return f"it names a file; name the module, as in '{module}:{name or 'NAME'}'"


def _without(module: str) -> str:
    above, _, name = module.rpartition(".")
    hint = did_you_mean(name, _modules_in(above or None), f"{above}.{{}}" if above else "{}")
    where = f"in package '{above}'" if above else "here or on Python's path"
    return f"there is no module '{module}' {where}.{hint}"


def _lacking(found: Any, where: str, name: str) -> str:
    names = [one for one in dir(found) if not one.startswith("_")]
    hint = did_you_mean(name, names, f"{where}.{{}}")
    own = [one for one in names if _is_of(getattr(found, one, None), where)]
    if not hint and own:
        more = ", ..." if len(own) > MOST_NAMES else ""
        hint = f" It has: {', '.join(own[:MOST_NAMES])}{more}."
    return f"'{where}' has no '{name}'.{hint}"


def _is_of(value: Any, module: str) -> bool:
    """Whether a module has made a value itself, or it is a step."""
    made_in = getattr(value, "__module__", None)
    return made_in == module or (made_in == "dotflow.core.action" and type(value) is not type)


def _modules_in(package: str | None) -> Iterable[str]:
    """The names of the modules in a package that is imported, or of those on the path."""
    import pkgutil  # here, for nobody is mistaken most of the time
    import sys

    path = None if package is None else getattr(sys.modules.get(package), "__path__", ())
    return {one.name for one in pkgutil.iter_modules(path)}


def module_name(module: Any) -> Any:
    """The name of a module; what is run as a script has the name that it is imported by."""
    if module != "__main__":
        return module
    import sys
    from pathlib import Path  # here, for it is slow to load

    main: Any = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    return spec.name if spec else Path(getattr(main, "__file__", None) or "__main__").stem
