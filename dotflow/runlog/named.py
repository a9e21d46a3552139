"""Which items of a list or tuple hold a credential, because another one names them."""

from __future__ import annotations

from typing import Any

from dotflow.utils.masking import MAX_KEY, SECRET, verdict

MANY_ITEMS = 1000
"""Items from which on a list is data, and no list of arguments."""

_mro_of = vars(type)["__mro__"].__get__
_names_in = vars(type)["__dict__"].__get__


def named_secrets(value: Any, base: type) -> set[int]:
    """The places of credentials: of a field so named, in a pair, behind an argument `--password`.

    Args:
        value: A list or tuple, perhaps of a subclass, which is not asked.
        base: `list` or `tuple`.
    """
    if base is tuple and (names := _field_names(type(value))):
        return {index for index, name in enumerate(names) if _is_secret(name)}
    size = base.__len__(value)  # type: ignore[attr-defined]
    if not 2 <= size <= MANY_ITEMS:  # noqa: PLR2004 - the name, and what it names
        return set()
    items = list(base.__iter__(value))  # type: ignore[attr-defined]
    if base is tuple and size == 2 and _is_secret(items[0]):  # noqa: PLR2004
        return {1}
    return {
        index
        for index, item in enumerate(items[:-1], start=1)
        if _is_option(item) and _is_secret(item) and not _is_option(items[index])
    }


def _is_option(item: Any) -> bool:
    return type(item) is str and item[:1] == "-" and "=" not in item


def _is_secret(name: Any) -> bool:
    return type(name) is str and len(name) <= MAX_KEY and bool(verdict(name) & SECRET)


def _field_names(kind: type) -> tuple[Any, ...]:
    """The names of the fields of a named tuple; none of another type."""
    if kind is tuple:
        return ()
    for one in _mro_of(kind):
        found = _names_in(one).get("_fields")
        if type(found) is tuple:
            return found
    return ()
