"""What a terminal takes for a command is shown there, and not obeyed."""

from __future__ import annotations

_COMMANDS = {
    number: f"\\x{number:02x}"
    for number in (*range(0x20), *range(0x7F, 0xA0))
    if chr(number) not in "\t\n"
}


def printable(text: str) -> str:
    r"""A text with each control character but tab and newline written out, as `\x1b`."""
    return text if text.isprintable() else text.translate(_COMMANDS)
