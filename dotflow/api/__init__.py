"""The reference dotflow-api: a small real server that keeps records of workflow runs.

It needs the extra ``dotflow[api]``, and ``dotflow[postgres]`` for PostgreSQL.
"""

try:
    from dotflow.api.app import create_app
    from dotflow.api.server import ApiServer
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"fastapi", "jinja2", "sqlalchemy", "uvicorn"}:
        raise
    raise ModuleNotFoundError(
        f"dotflow.api needs {error.name}: pip install 'dotflow[api]'", name=error.name
    ) from error

__all__ = ["ApiServer", "create_app"]
