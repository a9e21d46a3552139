"""Reads the words of a command line, and says what is wrong with them in words of its own."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from dotflow.utils.nearest import did_you_mean
from dotflow.utils.upstream import hint_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WRONG_WORDS = 2
"""The exit status of a command line that cannot be read."""


_WORDS = (
    (r"^argument ([^:]*): expected (one|at least one) argument", r"\1 needs a value after it."),
    (r"^one of the arguments (\S+) (\S+) is required", r"\1 or \2 is missing."),
    (r"^the following arguments are required: (.*)", r"\1 is missing."),
    (r"^argument ", ""),
)
"""What the standard library says, and what is said instead."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that names the nearest of what there is.

    What it has read has itself, or that of the command, as `parser`.

    Args:
        declare: Declares its flags; called when it is the one that reads, for a command line has
            one command, and need not wait for the flags of all.
        kwargs: As `argparse.ArgumentParser` takes them.
    """

    def __init__(
        self, *, declare: Callable[[argparse.ArgumentParser], None] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._declare = declare
        self.set_defaults(parser=self)
        self._words: list[str] = []

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read the words; what nobody knows is an error of the command that it was given to."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            found.parser.refuse_unknown(unknown[0])
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read the words, and return what nobody knows with it."""
        declare, self._declare = self._declare, None
        if declare is not None:
            declare(self)
        self._words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self._words, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where the rest can be read; end with status 2."""
        if "required" in message:  # perhaps it is there, with a mistake in it
            for word in self._words:
                if self._is_unknown(word):
                    self.refuse_unknown(word)
        for pattern, words in _WORDS:
            message = re.sub(pattern, words, message)
        self.exit(
            WRONG_WORDS, f"{self.prog}: {message}\n`{self.prog} --help` says what there is.\n"
        )

    def refuse_unknown(self, word: str) -> NoReturn:
        """Say that there is no such word, and which one is near."""
        name = word.split("=", maxsplit=1)[0]
        kind = "flag" if word.startswith("-") else "word"
        hint = hint_for(self.prog, name) or did_you_mean(name, self._flags())
        self.error(f"unknown {kind} '{name}'.{hint}")

    def _is_unknown(self, word: str) -> bool:
        name = word.split("=", maxsplit=1)[0]
        if name.startswith("--"):
            return name != "--" and not any(flag.startswith(name) for flag in self._flags())
        return name.startswith("-") and name != "-" and name[:2] not in self._flags()

    def _flags(self) -> Sequence[str]:
        return list(self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = action.choices
        if choices is None or value in choices:
            return
        allowed = [str(choice) for choice in choices]
        hint = hint_for(self.prog, str(value)) or did_you_mean(str(value), allowed)
        raise argparse.ArgumentError(action, f"'{value}' is none of {', '.join(allowed)}.{hint}")
