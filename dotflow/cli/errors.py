"""What a command says when it cannot go on."""

from __future__ import annotations


class CommandError(Exception):
    """Something that the person at the keyboard can mend; the message says how."""
