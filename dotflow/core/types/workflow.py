"""The states of a workflow run."""


class WorkflowStatus:
    """The values that a Server is told."""

    NEW = "New"
    IN_PROGRESS = "In progress"
    COMPLETED = "Completed"
    FAILED = "Failed"
