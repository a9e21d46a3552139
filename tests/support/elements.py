"""Reads a page as a browser does: elements, their attributes and their text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parts: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        yield self
        for one in self.parts:
            if isinstance(one, Element):
                yield from one.walk()

    def all(self, tag: str = "", **wanted: str) -> list[Element]:
        """Those below with this tag and these attributes; `class_` is one class of several."""
        kind = wanted.pop("class_", None)
        return [
            one
            for one in self.walk()
            if (not tag or one.tag == tag)
            and (kind is None or kind in one.attributes.get("class", "").split())
            and all(one.attributes.get(key.replace("_", "-")) == wanted[key] for key in wanted)
        ]

    def one(self, tag: str = "", **wanted: str) -> Element:
        (found,) = self.all(tag, **wanted)
        return found

    @property
    def text(self) -> str:
        said = (one if isinstance(one, str) else one.text for one in self.parts)
        return " ".join("".join(said).split())

    def __getitem__(self, attribute: str) -> str:
        return self.attributes[attribute]


def read(page: str) -> Element:
    """The page as one element; one that is not closed, or closed twice, fails."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.root], [one.tag for one in reader.open]
    return reader.root


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].parts.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].parts.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> in <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)
