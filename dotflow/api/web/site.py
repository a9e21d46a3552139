"""Puts the pages together."""

from fastapi import FastAPI

from dotflow.api.web import assets, runs, trends


def add_pages(app: FastAPI) -> None:
    """Has an application answer people as well as programs.

    Args:
        app: The application; its state has what is read from, as ``reading``.
    """
    for router in (assets.router, runs.router, trends.router):
        app.include_router(router)
