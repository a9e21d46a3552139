"""How a workflow runs."""


class TypeExecution:
    """The values of `mode`."""

    SEQUENTIAL = "sequential"
    SEQUENTIAL_GROUP = "sequential_group"
    BACKGROUND = "background"
    PARALLEL = "parallel"
