"""The former name of the Server contract."""

from __future__ import annotations

import warnings
from typing import Any

from dotflow.abc.server import Server


class Api(Server):
    """A deprecated alias of `dotflow.abc.server.Server`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        warnings.warn(
            f"{cls.__name__} derives from dotflow.abc.api.Api, which is deprecated: "
            "derive from dotflow.abc.server.Server instead",
            DeprecationWarning,
            stacklevel=3,  # past the frame of ABCMeta
        )
