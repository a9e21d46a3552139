"""The provider of a process that runs steps for another one, and was not forked from that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dotflow.otel.export.children import launch
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.provider import declarative
from dotflow.otel.export.provider.pipeline import CHILD_KEY, Pipeline
from dotflow.otel.logs import installed
from dotflow.runlog.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Mapping

made_here: list[Pipeline] = []
"""The pipelines that this process has because it runs steps for another one."""


def open_in_child(carrier: Mapping[str, str]) -> None:
    """Make the provider of such a child, where its program has made none.

    Args:
        carrier: What the parent sent, with what its `Pipeline.for_a_child` says.
    """
    text = carrier.get(CHILD_KEY)
    if text is None and declarative.existing() is None:
        launch(carrier)
        if declarative.existing() is None:
            declarative.configure()  # where a file says so
    installed.open_in_child(carrier)
    if text is None or made_here or declarative.existing() is not None:
        return
    known = json.loads(text)
    settings = OtlpSettings(known["endpoint"], known["protocol"])
    texts = Texts.of_parent(**known["texts"])
    made_here.append(Pipeline(settings, service_name=known["service_name"], texts=texts))
