"""What a scheduler does when a run is due while another still runs."""


class TypeOverlap:
    """The values of `overlap`."""

    SKIP = "skip"
    QUEUE = "queue"
    PARALLEL = "parallel"
