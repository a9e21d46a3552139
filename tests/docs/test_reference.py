"""The pages of docs/reference that follow from the code say what the code says."""

from __future__ import annotations

import inspect
import runpy
from importlib import import_module
from pathlib import Path

import pytest

from dotflow.core import exception

ROOT = Path(__file__).parents[2]
reference = runpy.run_path(str(ROOT / "docs" / "reference.py"))


@pytest.mark.parametrize("name", reference["PAGES"])
def test_a_page_is_as_the_code_is(name):
    """Whoever changes a docstring, a flag or an exception runs `python docs/reference.py` anew."""
    page = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    anew = reference["page_with"](name, reference["PAGES"][name]())
    assert page == anew, "run `python docs/reference.py` anew"


def test_every_public_name_has_its_place():
    """What a module names in `__all__` is on the page."""
    for path in (one for one in reference["PUBLIC"] if one.count(".") < 2):
        names = set(getattr(import_module(path), "__all__", ()))
        others = {"TaskExecutor"}  # on the page as dotflow.abc.executor's
        assert names - others <= set(reference["PUBLIC"][path]), path


def test_every_exception_has_its_remedy():
    """Each class of dotflow.core.exception is on the page, and no other."""
    found = {
        name
        for name, one in vars(exception).items()
        if inspect.isclass(one) and issubclass(one, BaseException)
    }
    assert found == set(reference["EXCEPTIONS"])
