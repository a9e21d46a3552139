"""Where results are kept; a bucket is tried, with an object that is taken back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dotflow.cli.doctor.trying import Result, Trial
from dotflow.core.exception import ModuleNotFound
from dotflow.providers import storage_signature as signing
from dotflow.providers.storage_address import VARIABLE, is_address, wherever

if TYPE_CHECKING:
    from dotflow.abc.storage import Storage
    from dotflow.cli.doctor.program import Program
    from dotflow.cli.doctor.report import Report
    from dotflow.providers.storage_bucket import Bucket

ABOUT = "results"


def trials(report: Report, found: Program) -> list[Trial]:
    """Say where results are kept, and how that is tried if it is a bucket."""
    given = os.environ.get(VARIABLE, "").strip()
    is_program = found.storage is not None
    bucket = _of_program(found.storage) if is_program else _of_variable(report, given)
    if bucket is not None and is_program:
        report.set(ABOUT, "where StorageFile keeps them", bucket.path, "argument", VARIABLE)
    else:
        source = "variable" if given else "default"
        report.set(ABOUT, "where StorageFile keeps them", wherever(), source, VARIABLE)
    _see_to_keys(report, bucket)
    return [] if bucket is None else [_trial(bucket)]


def _of_program(storage: Storage | None) -> Bucket | None:
    """The bucket of a program's Config."""
    place: Any = getattr(storage, "_place", None)
    return place if isinstance(getattr(place, "path", None), str) else None


def _of_variable(report: Report, given: str) -> Bucket | None:
    """The bucket that the variable names."""
    try:
        if not given or not is_address(given):
            return None
        from dotflow.providers.storage_bucket import Bucket  # here, for few have one

        return Bucket(given, {})
    except ValueError as error:
        report.fault(ABOUT, f"{VARIABLE}: {error}", "write it as docs/guides/storage.md shows it")
    except ModuleNotFound as error:
        report.fault(ABOUT, f"{VARIABLE}: {error}", "install what it names")
    return None


def _see_to_keys(report: Report, bucket: Bucket | None) -> None:
    """Say whether what is pickled can be signed; never by what."""
    fault, count = signing.fault_of_keys(), len(signing.keys())
    report.set(
        ABOUT, "keys that sign pickles in a bucket", count, "variable" if count else "default",
        signing.VARIABLE,
    )  # fmt: skip
    if fault is not None and count:
        report.fault(ABOUT, fault, signing.REMEDY)
    elif fault is not None and bucket is not None:
        report.note(ABOUT, f"{fault}: values that are no JSON are not kept there", signing.REMEDY)


def _trial(bucket: Bucket) -> Trial:
    return Trial(f"results in {bucket.path}", ABOUT, lambda: _visited(bucket))


def _visited(bucket: Bucket) -> Result:
    """Do whatever a run does there."""
    from dotflow.providers.storage_bucket import remedy, said

    key = f"dotflow-doctor-{uuid4()}"
    try:
        bucket.write(key, [b'["1"]'], {})
        is_there = bucket.read(key) is not None and key in list(bucket.keys(key))
        bucket.remove([key])
    except OSError as error:
        cause = error.__cause__
        if not isinstance(cause, Exception):
            raise
        return Result(problem=said(cause), remedy=remedy(cause))
    if not is_there:
        return Result(problem="it does not have what was just written", remedy="see its settings")
    return Result("an object was written, read, listed and deleted")
