"""What wraps a task or a workflow that is sent somewhere."""

from __future__ import annotations

from pydantic import BaseModel

from dotflow.core.serializers.task import SerializerTask
from dotflow.core.serializers.workflow import SerializerWorkflow  # noqa: TC001 - pydantic reads the annotations


class SerializerTransport(BaseModel):
    """A task or a workflow, with a word that says which; `resource` follows from the content."""

    resource: str = ""
    content: SerializerTask | SerializerWorkflow

    def model_post_init(self, _context: object) -> None:
        """Name the resource by what the content is."""
        self.resource = "task" if isinstance(self.content, SerializerTask) else "workflow"
