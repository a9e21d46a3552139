"""The fenced blocks of a page, and what the page asks for each of them.

A block of Python, shell, YAML, JSON, TOML or INI is run or parsed. A block of `text` directly after
one that ran is its output. In the line before a block a comment may say otherwise:

    <!-- not run: REASON -->   it is not run; its syntax is looked at all the same
    <!-- file only -->         the file that the block is of is written, and not run
    <!-- stops -->             it goes on until the page ends, and then gets Ctrl-C
    <!-- exits 1 -->           it ends with this exit status
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from sybil import Region, Sybil
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sybil import Document, Example

ROOT = Path(__file__).parents[2]
SHELLS = ("bash", "sh", "console")
SHOWN = ("text", "mermaid")  # to be looked at
_MARK = re.compile(
    r"^[ \t]*<!-- (not run|file only|stops|exits(?= \d))(?:: *| +)?(.*?) *-->[ \t]*$"
)
_LIKE_A_MARK = re.compile(r"^[ \t]*<!-- *(?:not run|file only|stops|exits)\b.*$", re.MULTILINE)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|ya?ml|toml|ini|cfg|service|timer))\n")
_lex = FencedCodeBlockLexer(language=".*", mapping={"language": "language", "source": "source"})


class BadBlock(Exception):
    """A block that the page's reader cannot rely on: neither run nor marked as it has to be."""


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: Which file it is in.
        line: The line of its fence.
        language: What the fence says.
        source: What is in it.
        mark: "not run", "file only", "stops", "exits" or "".
        reason: Why it is not run.
        status: What the process that runs it ends with.
        follows: Whether only blank lines part it from the block before.
    """

    page: Path
    line: int
    language: str
    source: str
    mark: str
    reason: str
    status: int
    follows: bool

    @property
    def is_run(self) -> bool:
        """Whether a process runs it."""
        return self.language in ("python", *SHELLS) and self.mark not in ("not run", "file only")

    @property
    def file(self) -> str | None:
        """The name of the file that it is, by its first line."""
        found = _FILE.match(self.source) if self.language not in SHELLS else None
        return found[1] if found else None

    def __str__(self) -> str:
        return (
            f"{self.page.relative_to(ROOT) if ROOT in self.page.parents else self.page}:{self.line}"
        )


def pages() -> list[Path]:
    """Every page that people read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples(page: Path, evaluate: Callable[[Block], None] | None = None) -> Iterator[Example]:
    """The blocks of a page as Sybil has them, in order; `example.parsed` is a `Block`."""
    evaluator = evaluate and (lambda example: evaluate(example.parsed))

    def parse(document: Document) -> Iterator[Region]:
        end = None
        for region in sorted(_lex(document), key=lambda one: one.start):
            region.parsed = _block(page, document.text, region, end)
            region.evaluator = evaluator
            end = region.end
            yield region

    return Sybil([parse]).parse(page).examples()


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return [one.parsed for one in examples(page)]


def _block(page: Path, text: str, region: Region, end: int | None) -> Block:
    lines = text[: region.start].splitlines()
    found = _MARK.match(lines[-1]) if lines else None
    mark, argument = found.groups() if found else ("", "")
    return Block(
        page=page,
        line=len(lines) + 1,
        language=region.lexemes["language"].strip(),
        source=str(region.lexemes["source"]),
        mark=mark,
        reason=argument if mark == "not run" else "",
        status=int(argument) if mark == "exits" else 0,
        follows=end is not None and not text[end : region.start].strip(),
    )


def check_marks(page: Path) -> None:
    """Hold that each block of a page is one that is run, parsed, shown, or marked with a reason."""
    found = blocks(page)
    said = len(_LIKE_A_MARK.findall(page.read_text(encoding="utf-8")))
    if said != sum(bool(one.mark) for one in found):
        raise BadBlock(f"{page}: a mark has to stand in the line before a block, as it is spelled")
    for block in found:
        _check_mark(block)


def _check_mark(block: Block) -> None:
    if block.mark == "not run" and not block.reason:
        raise BadBlock(f"{block} gives no reason: <!-- not run: REASON -->")
    if block.mark == "file only" and not block.file:
        raise BadBlock(f"{block} is no file: begin it with a line `# name.py`")
    if block.mark == "exits" and block.language == "python" and not block.file:
        raise BadBlock(f"{block} is a snippet, which has no exit status: begin it with `# name.py`")
    if block.mark == "stops" and block.language not in SHELLS:
        raise BadBlock(f"{block}: only a shell block can go on until the page ends")
    known = ("python", *SHELLS, *SHOWN, *_PARSERS)
    if block.language not in known and block.mark != "not run":
        raise BadBlock(
            f"{block} is {block.language or 'no language'}: known are {', '.join(known)}; "
            "any other needs <!-- not run: REASON -->"
        )
    if (
        block.is_run
        and block.language == "python"
        and not block.file
        and "__main__" in block.source
    ):
        raise BadBlock(
            f"{block} is a program: begin it with a line `# name.py`, as its reader will"
        )


def check_syntax(block: Block) -> None:
    """Hold that a block is what its fence says, run or not."""
    if block.language == "python":
        compile(block.source, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    elif block.language in SHELLS:
        for command, _ in commands(block):
            done = subprocess.run(
                ["bash", "-n"], input=command, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{block}: {done.stderr}"
    elif block.language in _PARSERS:
        _PARSERS[block.language](block.source)


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """What a shell block runs, with the lines that it shows below: each `$` line of a console."""
    if block.language != "console":
        return [(block.source, [])]
    found: list[tuple[str, list[str]]] = []
    for line in block.source.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        elif found:
            found[-1][1].append(line)
        else:
            raise BadBlock(f"{block} has to begin with a command: `$ command`")
    return found


def _json(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:  # or one object a line
        for line in text.splitlines():
            json.loads(line)


def _ini(text: str) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(text)


_PARSERS: dict[str, Callable[[str], object]] = {
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "json": _json,
    "toml": tomllib.loads,
    "ini": _ini,
}


def missing_line(expected: str | list[str], output: str) -> str | None:
    """The first line that does not occur in an output after those before it, however indented.

    `...` stands for any text in a line, and alone in a line for any lines.
    """
    lines = expected.splitlines() if isinstance(expected, str) else expected
    came = iter(output.splitlines())
    for line in lines:
        if line.strip() in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.strip().split("...")))
        if not any(pattern.fullmatch(one.strip()) for one in came):
            return line
    return None
