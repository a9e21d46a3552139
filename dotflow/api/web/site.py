"""Puts the pages together."""

from fastapi import FastAPI

from dotflow.api.web import assets, rows, run, runs, task, trends


def add_pages(app: FastAPI) -> None:
    """Has an application answer people as well as programs.

    Args:
        app: The application; its state has what is read from, as ``reading``.
    """
    for part in (assets, runs, run, rows, task, trends):
        app.include_router(part.router)
