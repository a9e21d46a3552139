"""When spans leave, while nobody waits for it."""

from __future__ import annotations

BURST_BATCH = 64
"""Spans that are sent at a time while the work reports one after another."""

BURST_SHARE = 50
"""In a burst the thread sleeps so many times as long as it has worked."""

BURST_QUEUE = 16_384
"""Spans that wait in a burst; from so many on they are sent as fast as they come. A span that waits
takes half a kilobyte, and a program may report for days without a pause."""

QUIET = 0.25
"""Seconds of a burst in which nothing is sent: most runs are over by then."""

FIRST_LOOK = 2.0
"""Seconds before what dead processes left is looked for by itself: a program that dies young has
not begun to send it, and what it had sent would be sent again."""

POLL = 0.02  # seconds between two looks at the queue in a burst
CARE = 2.0  # seconds between two signs of life
