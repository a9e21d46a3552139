"""Numbers that several packages share."""

INITIAL_TASK_ID = 1
