"""A workflow as a pydantic model."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, Field

from dotflow.core.serializers.task import SerializerTask, Text, WorkflowId  # noqa: TC001 - read by pydantic


class SerializerWorkflow(BaseModel):
    """A workflow and its tasks."""

    workflow_id: WorkflowId | None = None
    workflow_name: Text | None = None
    id: WorkflowId | None = None
    name: Text | None = None
    tasks: list[SerializerTask] = Field(default_factory=list)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.id = self.workflow_id if self.id is None else self.id
        self.name = self.workflow_name if self.name is None else self.name

    def result(self) -> dict[str, Any]:
        """A dict of JSON values."""
        return json.loads(self.model_dump_json())  # type: ignore[no-any-return]
