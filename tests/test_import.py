"""What importing dotflow loads, and the names that it promises."""

from __future__ import annotations

import graphlib
import importlib
import subprocess
import sys

import grimp
import pytest

import dotflow

HEAVY = ("opentelemetry.sdk", "grpc", "fastapi", "uvicorn", "starlette", "sqlalchemy", "croniter")
NOT_TO_IMPORT = (
    "pydantic", "asyncio", "rich", "requests", "multiprocessing", "platformdirs", "inspect",
    "dataclasses", "sqlite3", "ssl", "socket", "json", "hashlib", "pathlib", "uuid", "pickle",
    "dotflow.delivery", "dotflow.providers", "dotflow.core.serializers",
    "dotflow.core.children.lane",
)  # fmt: skip
NOT_TO_RUN = (
    "pydantic", "asyncio", "rich", "requests", "multiprocessing", "platformdirs", "inspect",
    "dataclasses", "sqlite3", "ssl", "hashlib", "pickle", "dotflow.delivery",
    "dotflow.core.serializers", "dotflow.core.children.lane",
)  # fmt: skip

NOT_TO_EXPORT = (
    "requests", "urllib3", "sqlite3", "dotflow.delivery.channel",
    "dotflow.otel.export.provider.pipeline", "multiprocessing", "hashlib",
)  # fmt: skip

RUN = """
@dotflow.action
def step():
    return 1

flow = dotflow.DotFlow()
flow.task.add(step)
flow.start()
assert flow.result_storage() == [1]
"""

NAMES = {
    "dotflow": "action Config Context DotFlow Task __version__ __description__",
    "dotflow.constants": "INITIAL_TASK_ID",
    "dotflow.settings": "Settings",
    "dotflow.types": "TypeStatus TypeStorage",
    "dotflow.utils": "basic_function basic_callback traceback_error message_error write_file "
    "read_file hostname",
    "dotflow.utils.basic_functions": "basic_function basic_callback",
    "dotflow.utils.error_handler": "traceback_error message_error",
    "dotflow.utils.tools": "write_file read_file hostname",
    "dotflow.logging": "logger",
    "dotflow.abc.storage": "Storage",
    "dotflow.abc.notify": "Notify",
    "dotflow.abc.log": "Log LEVELS LogRecord LogRecordError",
    "dotflow.abc.tracer": "Tracer",
    "dotflow.abc.metrics": "Metrics",
    "dotflow.abc.scheduler": "Scheduler",
    "dotflow.abc.server": "Server",
    "dotflow.abc.api": "Api",
    "dotflow.abc.flow": "Flow",
    "dotflow.abc.http": "HTTPRequest",
    "dotflow.abc.tcp": "TCPClient TCPServer",
    "dotflow.abc.file": "FileClient",
    "dotflow.core.action": "Action",
    "dotflow.core.config": "Config",
    "dotflow.core.context": "Context ContextInstance",
    "dotflow.core.dotflow": "DotFlow",
    "dotflow.core.task": "Task TaskBuilder TaskInstance TaskError",
    "dotflow.core.engine": "TaskEngine",
    "dotflow.core.module": "Module",
    "dotflow.core.workflow": "Manager Sequential SequentialGroup Background Parallel grouper",
    "dotflow.core.exception": "MissingActionDecorator ExecutionModeNotExist ImportModuleError "
    "NotCallableObject ProblemOrdering ModuleNotFound ExecutionWithClassError "
    "InvalidWorkflowFactory WorkflowFlagConflict InputChangedError InvalidOnInputChange TaskError",
    "dotflow.core.fingerprint": "fingerprint_of fp_key read_fingerprint write_fingerprint",
    "dotflow.core.types": "TypeExecution TypeOverlap TypeStatus TypeStorage WorkflowStatus "
    "TypeInputChange VALID_POLICIES",
    "dotflow.core.types.execution": "TypeExecution",
    "dotflow.core.types.overlap": "TypeOverlap",
    "dotflow.core.types.status": "TypeStatus",
    "dotflow.core.types.storage": "TypeStorage",
    "dotflow.core.types.workflow": "WorkflowStatus",
    "dotflow.core.types.input_change": "TypeInputChange VALID_POLICIES",
    "dotflow.core.serializers.task": "SerializerTask SerializerTaskError",
    "dotflow.core.serializers.workflow": "SerializerWorkflow",
    "dotflow.core.serializers.transport": "SerializerTransport",
    "dotflow.core.decorators": "time",
    "dotflow.core.decorators.time": "time",
    "dotflow.providers": "StorageDefault StorageFile NotifyDefault LogDefault SchedulerDefault "
    "ServerDefault ServerAPI TracerDefault MetricsDefault",
    "dotflow.providers.storage_default": "StorageDefault",
    "dotflow.providers.storage_file": "StorageFile",
    "dotflow.providers.notify_default": "NotifyDefault",
    "dotflow.providers.log_default": "LogDefault",
    "dotflow.providers.scheduler_default": "SchedulerDefault",
    "dotflow.providers.server_default": "ServerDefault",
    "dotflow.providers.server_api": "ServerAPI",
    "dotflow.providers.tracer_default": "TracerDefault",
    "dotflow.providers.metrics_default": "MetricsDefault",
    "dotflow.testing": "rehearsal Rehearsal RunSeen TaskSeen StorageContract",
}


@pytest.mark.parametrize("module", NAMES)
def test_names(module):
    """Every public name can be imported from where the contract says."""
    found = importlib.import_module(module)
    missing = [name for name in NAMES[module].split() if not hasattr(found, name)]
    assert missing == []


def test_all_of_dotflow():
    """`from dotflow import *` gives the names of every program."""
    assert sorted(dotflow.__all__) == [
        "Config", "Context", "DotFlow", "Task", "WorkflowFailed", "action",
    ]  # fmt: skip
    assert dotflow.action.__module__ == "dotflow.core.action"
    assert isinstance(dotflow.__version__, str)
    assert isinstance(dotflow.__description__, str)


@pytest.mark.parametrize("statement", ["import dotflow", "import dotflow.providers", "Config()"])
def test_imports_are_light(statement):
    """Importing dotflow loads neither an SDK nor a web server, nor does a default Config."""
    program = (
        f"import sys\nfrom dotflow import Config\n{statement}\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
    assert done.stderr == ""


@pytest.mark.parametrize(("run", "heavy"), [("", NOT_TO_IMPORT), (RUN, NOT_TO_RUN)])
def test_what_is_not_loaded(run, heavy):
    """Neither `import dotflow` nor a run that reports nowhere loads what it has no use for."""
    program = (
        f"import sys\nbefore = set(sys.modules)\nimport dotflow\n{run}\n"
        f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", program],
        env={"DOTFLOW_SERVER": "none"},
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_a_server_that_exports_nothing_yet_loads_nothing_that_exports():
    """`from dotflow.otel import ServerOtel` leaves the exporters and the relay to the first run."""
    program = (
        "import sys\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "before = set(sys.modules)\n"
        "from dotflow.otel import ServerOtel\nServerOtel()\n"
        "from dotflow.utils import masking, patterns\n"
        "late = [name for name, one in vars(masking).items() if type(one) is patterns._Later]\n"
        "assert late\n"
        f"print([name for name in {NOT_TO_EXPORT} if name in set(sys.modules) - before]\n"
        "      + [name for name in late if len(vars(getattr(masking, name))) > 1])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", program],
        env={}, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("package", ["abc", "core", "providers"])
def test_modules_can_be_imported_first(package):
    """No module needs another to have been imported before it."""
    names = [name for name in NAMES if name.startswith(f"dotflow.{package}.")]
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for loaded in [one for one in sys.modules if one.split('.')[0] == 'dotflow']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *names[::4]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_unknown_providers():
    """A name that is no provider is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="StorageNothing"):
        dotflow.providers.StorageNothing  # noqa: B018


def test_no_imports_go_in_a_circle():
    """Those for types, and those within functions, count too."""
    graph = grimp.build_graph("dotflow", cache_dir=None)
    imported = {one: graph.find_modules_directly_imported_by(one) for one in graph.modules}
    assert "dotflow.core.task" in imported["dotflow.core.dotflow"] | imported["dotflow.core.config"]
    graphlib.TopologicalSorter(imported).prepare()  # a CycleError names the modules
