"""The first task number of a managed run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.utils.tools import unused_task_id

if TYPE_CHECKING:
    from dotflow.delivery.channel import Channel


def next_task_id(channel: Channel, workflow: str) -> int:
    """The number that dotflow-api says; where it says none, one that no earlier task can have."""
    import requests  # here, for who only traces has no need of it

    try:
        return channel.next_task_id(workflow)
    except requests.RequestException as error:
        number = unused_task_id()
        logger.warning(
            "dotflow-api did not give the next task number of workflow %s (%s): tasks are numbered "
            "from %d, which no earlier task can have.", workflow, type(error).__name__, number,
        )  # fmt: skip
        return number
