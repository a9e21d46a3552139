"""A run as an SVG picture: one row a bar, beside its name, over a scale of time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from dotflow.waterfall.bars import ATTEMPT, WORKFLOW, extent, place
from dotflow.waterfall.colours import look_of
from dotflow.waterfall.rows import NO_GROUP, has_begun, rows
from dotflow.waterfall.texts import cut, lasting, said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dotflow.waterfall.bars import Bar

ROW, HEAD, FOOT = 22, 52, 10
"""Heights of a row, of the title with the scale, and of what is left free below."""

LETTER = 6.7
"""About how wide a letter is."""

ASIDE = 190
"""Width of the marks, times and notes at the right."""

LONGEST_WORDS = 24  # letters beside a bar
LONGEST_TITLE = 300  # letters of what is read out, and shown to who points there

MOST_TICKS = 6
SECOND = 10**9
DAY = 86_400 * SECOND
STEPS = (
    *(digit * 10**zeros for zeros in range(10) for digit in (1, 2, 5)),
    *(seconds * SECOND for seconds in (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800,
                                       21600, 43200, 86400)),
)  # fmt: skip
"""Round numbers of nanoseconds, to a day."""

_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
_GROUND = (
    "<style>:root{color:#1c1f24;background:#fff}"
    "@media (prefers-color-scheme:dark){:root{color:#e6e8eb;background:#16181c}}</style>"
)


class Scale(NamedTuple):
    """What of time the picture shows, and where.

    Attributes:
        begin: The first moment, in nanoseconds since 1970; 0 where nothing has begun.
        end: The last one.
        left: Where the first moment lies.
        width: How wide all of them are together.
    """

    begin: int
    end: int
    left: int
    width: int


def to_svg(
    bars: Sequence[Bar],
    *,
    width: int = 960,
    title: str = "",
    now: int | None = None,
    is_inline: bool = False,
) -> str:
    """Gives the bars as an SVG picture that holds no script and loads nothing.

    Any thread may call it.

    Args:
        bars: What is drawn, in order; what was not started has a name and no bar.
        width: Pixels.
        title: What is written above, and read out by screen readers.
        now: Where bars end that go on, in nanoseconds since 1970; without it, at this moment.
        is_inline: Whether it will be a part of a page, whose colours and ground it then takes;
            else it has its own, light or dark as its reader likes it.
    """
    names = max(160, int(width * 0.3))
    times = extent([bar for bar in bars if has_begun(bar)], time.time_ns() if now is None else now)
    scale = Scale(*times, names, max(80, width - names - ASIDE))
    drawn = list(_rows(bars, scale))
    height = HEAD + ROW * len(drawn) + FOOT
    label = said(cut(title or "waterfall", LONGEST_TITLE))
    placed = (f'<g transform="translate(0 {HEAD + ROW * number})">{row}</g>'
              for number, row in enumerate(drawn))  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{label}" '
        f'font-family="{_FONT}" font-size="11" fill="currentColor">'
        f"{'' if is_inline else _GROUND}<title>{label}</title>"
        f'<text x="8" y="18" font-size="13" font-weight="600">{said(cut(title, width // 8))}</text>'
        f"{''.join(_ticks(scale, height))}{''.join(placed)}</svg>"
    )


def words_of(bar: Bar) -> str:
    """All that a bar says, in one line."""
    words = [bar.name, bar.status]
    if has_begun(bar) and bar.end is not None:
        words.append(lasting(bar.end - bar.start))
    if bar.group not in NO_GROUP:
        words.append(f"group {bar.group}")
    return ", ".join([*words, bar.note] if bar.note else words)


def _rows(bars: Sequence[Bar], scale: Scale) -> Iterator[str]:
    for depth, row in rows(bars):
        yield _group(row, depth, scale) if isinstance(row, str) else _row(row, scale, depth)


def _group(name: str, depth: int, scale: Scale) -> str:
    left = _indent(depth, scale)
    return (
        f'<text x="{left}" y="15" font-weight="600" opacity=".75">'
        f"{said(_fitting(name, left, scale))}</text>"
    )


def _row(bar: Bar, scale: Scale, depth: int) -> str:
    look = look_of(bar.status)
    left, aside = _indent(depth, scale), scale.left + scale.width + 10
    weight = ' font-weight="600"' if bar.kind == WORKFLOW else ""
    took = "" if bar.end is None or not has_begun(bar) else lasting(bar.end - bar.start)
    words = f"{took or bar.status} {bar.note}"
    return (
        f"<title>{said(cut(words_of(bar), LONGEST_TITLE))}</title>"
        f'<text x="{left}" y="15"{weight}>{said(_fitting(bar.name, left, scale))}</text>'
        f"{_bar(bar, scale) if has_begun(bar) else ''}"
        f'<text x="{aside}" y="15" fill="{look.either}">{look.mark}</text>'
        f'<text x="{aside + 16}" y="15" opacity=".75">{said(cut(words, LONGEST_WORDS))}</text>'
    )


def _indent(depth: int, scale: Scale) -> int:
    return min(8 + 12 * depth, scale.left // 2)


def _fitting(name: str, left: int, scale: Scale) -> str:
    return cut(name, int((scale.left - left - 8) / LETTER))


def _bar(bar: Bar, scale: Scale) -> str:
    look = look_of(bar.status)
    left, width = (part * scale.width for part in place(bar, scale.begin, scale.end))
    left = min(left, scale.width - 2)  # what took no time is seen too
    high = 6 if bar.kind == ATTEMPT else 12
    line = f' stroke="{look.either}" stroke-dasharray="{look.dashes}"' if look.dashes else ""
    pale = ' fill-opacity=".35"' if line or bar.kind == WORKFLOW else ""
    return (
        f'<rect x="{scale.left + left:.1f}" y="{11 - high // 2}" width="{max(2.0, width):.1f}" '
        f'height="{high}" rx="2" fill="{look.either}"{pale}{line}/>'
    )


def _ticks(scale: Scale, height: int) -> Iterator[str]:
    if not scale.begin:
        return
    span = scale.end - scale.begin
    for moment in range(0, span + 1, _step(span / MOST_TICKS)):
        x = scale.left + scale.width * moment / span
        yield (
            f'<path d="M{x:.1f} {HEAD - 8}V{height - FOOT}" stroke="currentColor" opacity=".13"/>'
            f'<text x="{x:.1f}" y="{HEAD - 14}" opacity=".6" text-anchor="middle">'
            f"{_tick(moment)}</text>"
        )


def _step(least: float) -> int:
    """The next round number of nanoseconds."""
    return next((one for one in STEPS if one >= least), DAY * -int(-least // DAY))


def _tick(nanoseconds: int) -> str:
    for unit, name in ((1, "ns"), (10**3, "µs"), (10**6, "ms"), (SECOND, "s")):
        if nanoseconds < min(1000 * unit, 60 * SECOND):
            return f"{nanoseconds / unit:g} {name}" if nanoseconds else "0"
    minutes, seconds = divmod(nanoseconds // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {name}" for number, name in parts if number)
