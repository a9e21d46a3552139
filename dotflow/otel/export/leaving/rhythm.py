"""When spans leave, while nobody waits for it."""

from __future__ import annotations

BURST_BATCH = 64
"""Spans that are sent at a time while they come fast."""

BURST_SHARE = 50
"""While they come fast, the thread sleeps so many times as long as it has worked."""

QUIET = 0.25
"""Seconds in which nothing is sent when they begin to come fast: most runs are over by then."""

FIRST_LOOK = 2.0
"""Seconds before what dead processes left is looked for by itself: a program that dies young has
not begun to send it, and what it had sent would be sent again."""

POLL = 0.02  # seconds between two looks at the queue while spans come fast
CARE = 2.0  # seconds between two signs of life
