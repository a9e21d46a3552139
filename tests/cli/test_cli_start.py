"""`dotflow start`: what it runs, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_waiting import summary
from support.otlp import OtlpReceiver

from dotflow.providers import StorageFile

MODES = ["sequential", "sequential_group", "background", "parallel"]
SCRIPT = Path(sys.executable).with_name("dotflow")


@pytest.mark.parametrize("mode", MODES)
def test_a_step(command, capsys, mode):
    """One step runs in every mode, with its context as text and its callback; then status 0."""
    status = command(
        "start", "--step", "{}.extract", "-c", "{}:callback", "-i", "5",
        "-o", "file", "-p", "kept", "-m", mode,
    )  # fmt: skip
    assert status == 0
    assert Path("called").read_text() == "1 Completed"
    (file,) = Path("kept/tasks").glob("*.json")
    assert StorageFile(path="kept").get(file.name).storage == {"got": "5"}
    said = capsys.readouterr().err
    assert "INFO" in said
    assert summary(said)[0].startswith("completed: 1 task in ")


@pytest.mark.parametrize("mode", MODES)
def test_a_workflow(command, capsys, mode):
    """What the callable returns is started, in every mode."""
    assert command("start", "--workflow", "{}.pipeline", "--mode", mode) == 0
    assert summary(capsys.readouterr().err)[0].startswith("completed: 2 tasks in ")


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_workflow_is_status_1(command, capsys, mode):
    """A failed task is status 1, and the last line says which and why, in one line."""
    assert command("start", "-w", "{}:failing", "-m", mode) == 1
    said = capsys.readouterr().err
    assert summary(said)[0] == "failed: task 2 (fail): ValueError: no luck"


def test_quiet_writes_errors_only(command, capsys):
    """-q: nothing of a run that completes; of one that fails the error and the last line."""
    assert command("start", "-q", "-w", "{}.pipeline") == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("totalling\n", "")
    assert command("start", "-q", "-w", "{}.failing") == 1
    said = capsys.readouterr().err
    assert "INFO" not in said
    assert "Traceback" in said
    assert summary(said)[0] == "failed: task 2 (fail): ValueError: no luck"


def test_the_address_of_a_bucket(command, monkeypatch):
    """`--path` takes an address as well; without it the variable says where."""
    arguments = ("start", "-s", "{}.extract", "-o", "file")
    assert command(*arguments, "-p", "memory://cli/flag") == 0
    monkeypatch.setenv("DOTFLOW_STORAGE_PATH", "memory://cli/variable")
    assert command(*arguments) == 0
    for path in ("memory://cli/flag", "memory://cli/variable"):
        storage = StorageFile(path=path)
        assert [key for key in storage.list_keys("") if key.endswith("-1.json")]
        assert storage.delete_prefix("")


def test_the_default_storage_takes_no_path(command):
    """`--storage default` is there, and needs no folder."""
    assert command("start", "-s", "{}.extract", "-o", "default", "-p", "nowhere") == 0
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-s", "{}.plain"], "'@action' decorator"),
        (["-s", "{}.nothing"], "Could not import 'steps_of_a_user.nothing'"),
        (["-s", "no_such_module.step"], "Could not import 'no_such_module.step'"),
        (["-s", "steps"], "Could not import 'steps'"),
        (["-s", "{}.extract", "-c", "{}.not_callable"], "steps_of_a_user.not_callable"),
        (["-w", "{}.not_callable"], "'steps_of_a_user.not_callable' must be a callable"),
        (["-w", "{}.gives_five"], "'steps_of_a_user.gives_five' must be a callable"),
        (["-w", "{}.needs_an_argument"], "must be a callable without arguments"),
        (["-w", "{}.gives_five"], "It returned int."),
        (["-w", "{}.extract"], "It is a step: run it with '--step'."),
        (["-w", "a_workflow.made"], "It is a DotFlow: write a function that returns it."),
        (["-w", "{}.pipeline", "-c", "{}.callback"], "'--callback' goes with '--step' only"),
        (["-w", "{}.pipeline", "-i", "x"], "'--initial-context' goes with '--step' only"),
        (["-s", "{}.extract", "-o", "file", "-p", "taken"], "'--path taken' cannot be used"),
        (["-s", "{}.extract", "-o", "file", "-p", "ftp://host/x"], "no address that begins with"),
        (["-s", "{}.extract", "--server", "api"], "needs SERVER_BASE_URL and SERVER_USER_TOKEN"),
        (["-s", "{}.extract", "--server", "default"], "DOTFLOW_SERVER_URL and DOTFLOW_USER_TOKEN"),
    ],
)
def test_what_can_be_mended_is_one_clear_line(command, capsys, words, expected):
    """A wrong name or flag is one line that says what to do; flags that do not fit are status 2."""
    Path("taken").touch()
    Path("a_workflow.py").write_text("from dotflow import DotFlow\nmade = DotFlow()\n")
    assert command("start", *words) == (2 if "goes with" in expected else 1)
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert expected in said


def test_a_function_that_starts_its_workflow_is_told_of_the_second_run(command, caplog):
    assert command("start", "-w", "{}.starts_it") == 0
    assert "starts_it' starts the workflow that it returns" in caplog.text
    caplog.clear()
    assert command("start", "-w", "{}.pipeline") == 0
    assert "starts the workflow" not in caplog.text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("\nint('x')", "ValueError: invalid literal"),
        ("def", "SyntaxError"),
    ],
)
def test_what_a_module_lacks_is_said(command, capsys, tmp_path, source, expected):
    """A module that is there and cannot be imported shows its own error, and where."""
    name = f"lacking_{len(source)}"
    (tmp_path / f"{name}.py").write_text(source)
    assert command("start", "-s", f"{name}.step") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert expected in said
    assert f"{name}.py" in said


def test_an_unexpected_error_is_logged(command, capsys, caplog):
    """What nobody foresaw is one general line, with its cause on the logger "dotflow"."""
    assert command("start", "-w", "{}.broken") == 1
    assert "Error: The command ended with an error" in capsys.readouterr().err
    (record,) = caplog.records
    assert record.name == "dotflow"
    assert "from the factory" in str(record.exc_info[1])


@pytest.mark.parametrize(
    "words",
    [[], ["-s", "a.b", "-w", "a.b"], ["-s", "a.b", "-m", "fast"], ["-s", "a.b", "-o", "s3"],
     ["-s", "a.b", "--server", "some"], ["-s", "a.b", "--fly"]],
)  # fmt: skip
def test_wrong_flags_are_status_2(command, capsys, words):
    """argparse's 2 for flags that are off; exactly one of --step and --workflow."""
    with pytest.raises(SystemExit) as ended:
        command("start", *words)
    assert ended.value.code == 2


def test_a_workflow_id_that_is_none(command, capsys, monkeypatch):
    """A blank WORKFLOW_ID is named."""
    monkeypatch.setenv("WORKFLOW_ID", " ")
    assert command("start", "-s", "{}.extract") == 1
    assert "WORKFLOW_ID cannot be used" in capsys.readouterr().err


def test_storage_flags_are_ignored_with_a_workflow(command, caplog):
    """`--storage` with `--workflow` is warned of, and makes no folder."""
    assert command("start", "-w", "{}.pipeline", "-o", "file", "-p", "kept") == 0
    assert "'--storage' is ignored" in caplog.text
    assert not Path("kept").exists()


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_a_callback_that_raises_is_told(command, capsys, caplog, tmp_path, mode):
    """It is logged, in every mode, and the run is what its tasks are."""
    (tmp_path / "callbacks.py").write_text("def refuse(task):\n    raise OSError('refused')\n")
    assert command("start", "-s", "{}.extract", "-c", "callbacks.refuse", "-m", mode) == 0
    assert "completed: 1 task" in capsys.readouterr().err
    assert "OSError: refused" in caplog.text


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_a_storage_that_fails_is_status_1(command, capsys, monkeypatch, mode):
    """An error that is no step's fails the command, in every mode."""

    def refuse(self, **kwargs):
        raise OSError("refused")

    monkeypatch.setattr("dotflow.providers.StorageDefault.post", refuse)
    monkeypatch.setattr("threading.excepthook", lambda arguments: None)
    assert command("start", "-s", "{}.extract", "-m", mode) == 1
    said = capsys.readouterr().err
    assert "completed" not in said
    assert "Error:" in said or "failed: " in said


def test_the_installed_script_finds_modules_here(steps):
    """The console script looks in the current folder, and exits with the status."""
    done = subprocess.run(
        [SCRIPT, "start", "-w", f"{steps}:pipeline"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "totalling\n"
    assert summary(done.stderr)[0].startswith("completed: 2 tasks in ")


def test_the_end_says_which_run_it_was_and_where_to_look(spawn, default_dialect, monkeypatch):
    """The last lines have the ids of workflow and trace, and the addresses, without credentials."""
    with OtlpReceiver() as otlp:
        address = otlp.http_url.replace("//", "//user:hush@")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("DOTFLOW_TRACE_URL", "https://jaeger/trace/{trace_id}")
        process = spawn("start", "-w", "{}.failing", "--server", "otel", "-q")
        output, _ = process.communicate(timeout=60)
        trace = otlp.wait_for(3)[0].trace_id
    line, known = summary(output)
    assert line == "failed: task 2 (fail): ValueError: no luck"
    (workflow,) = default_dialect.workflows()
    assert known == {
        "workflow": workflow["id"],
        "trace": trace,
        "open": f"https://jaeger/trace/{trace}",
        "records": f"{default_dialect.url}/workflows/{workflow['id']}",
        "spans": f"OTLP endpoint {otlp.http_url}/v1/traces",
        "show": f"dotflow trace {workflow['id']}",
    }
    assert "hush" not in output


def test_the_end_of_a_run_that_is_not_reported(command, capsys):
    """Without a server the id is there, that it is reported nowhere, and how to see it here."""
    assert command("start", "-w", "{}.pipeline") == 0
    known = summary(capsys.readouterr().err)[1]
    assert list(known) == ["workflow", "reported", "show"]
    assert known["reported"].startswith("nowhere")
    assert command(*known["show"].split()[1:]) == 0
    assert f"({known['workflow']}): Completed" in capsys.readouterr().out


def test_the_end_of_a_run_that_is_not_kept(command, capsys, monkeypatch):
    """Without a history nothing is named that would show the run."""
    monkeypatch.setenv("DOTFLOW_HISTORY", "off")
    assert command("start", "-w", "{}.pipeline") == 0
    assert list(summary(capsys.readouterr().err)[1]) == ["workflow", "reported"]


def test_default_dialect(command, default_dialect):
    """With its two variables a run has a record, and its tasks."""
    assert command("start", "-w", "{}.failing") == 1
    (workflow,) = default_dialect.workflows()
    assert (workflow["name"], workflow["status"]) == ("failing", "Failed")
    assert default_dialect.statuses() == [
        (1, "extract", "Completed"), (2, "fail", "Failed"), (3, "total", "Not started"),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["none", "api", "default", "otel"])
@pytest.mark.parametrize("what", [["-s", "{}.extract"], ["-w", "{}.pipeline"]])
def test_the_server_flag(command, managed_dialect, monkeypatch, choice, what):
    """--server holds for --step and in a factory: it reports there, or nowhere."""
    monkeypatch.setenv("DOTFLOW_SERVER_URL", managed_dialect.url)
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", "t")
    assert command("start", *what, "--server", choice, "-q") == 0
    (workflow,) = managed_dialect.workflows()
    assert workflow["status"] == ("New" if choice == "none" else "Completed")
    names = {"pipeline", "extract"} if choice == "otel" else {"made by somebody else"}
    assert workflow["name"] in names


def test_otel_sends_spans(spawn, monkeypatch):
    """--server otel: the run is a trace at the endpoint that the environment names."""
    with OtlpReceiver() as otlp:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
        monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "30")
        process = spawn("start", "-w", "{}.pipeline", "--server", "otel")
        output, _ = process.communicate(timeout=60)
        names = [span.name for span in otlp.wait_for(3)]
    assert process.returncode == 0, output
    assert sorted(names) == ["extract", "pipeline", "total"]


def test_a_server_given_in_code_wins(command, default_dialect, tmp_path):
    """Config(server=...) in a factory is not overruled by --server."""
    (tmp_path / "own_server.py").write_text(
        "from dotflow import Config, DotFlow\n"
        "from dotflow.providers.server_none import ServerNone\n"
        "def make():\n    return DotFlow(config=Config(server=ServerNone()))\n"
    )
    assert command("start", "-w", "own_server.make", "--server", "default") == 0
    assert default_dialect.workflows() == []


@pytest.mark.parametrize("what", [["-s", "{}.extract", "-i", "5"], ["-w", "{}.pipeline"]])
def test_managed_runs_go_on_counting(command, managed_dialect, what):
    """With the managed variables alone nothing is made, and numbers go on after the last run's."""
    assert command("start", *what) == 0
    assert command("start", *what) == 0
    (workflow,) = managed_dialect.workflows()
    assert (workflow["id"], workflow["name"]) == ("orders", "made by somebody else")
    assert workflow["status"] == "Completed"
    tasks = managed_dialect.tasks("orders")
    assert [task["task_id"] for task in tasks] == list(range(1, len(tasks) + 1))
    assert len(tasks) == (2 if what[0] == "-s" else 4)
    assert {task["status"] for task in tasks} == {"Completed"}


def test_a_managed_step_that_is_resumed(command, managed_dialect, capsys):
    """`--storage file --resume` finds the checkpoint, and reports the task that it was."""
    words = ["start", "-s", "{}.extract", "-i", "5", "-o", "file", "-p", "kept"]
    assert command(*words) == 0
    first = managed_dialect.tasks("orders")
    Path(f"extract.{os.getpid()}").unlink()
    assert command(*words, "--resume") == 0
    assert not Path(f"extract.{os.getpid()}").exists()
    assert "completed: 1 task (1 of them before)" in capsys.readouterr().err
    again = managed_dialect.tasks("orders")
    assert [task["task_id"] for task in again] == [task["task_id"] for task in first] == [1]
    assert json.loads(json.dumps(again[0]["current_context"])) == {"got": "5"}


def test_what_resuming_lacks_is_said(command, caplog, monkeypatch):
    """Who resumes where nothing can have been kept is told what that needs, and the run goes on."""
    words = ["start", "-s", "{}.extract", "-i", "5", "--resume"]
    said = "'--resume' restores nothing: it needs"
    kept = ["-o", "file", "-p", "kept"]
    assert command(*words) == 0
    assert caplog.messages == [f"{said} the same WORKFLOW_ID in each run and '--storage file'."]
    caplog.clear()
    assert command(*words, *kept) == 0
    assert caplog.messages == [f"{said} the same WORKFLOW_ID in each run."]
    monkeypatch.setenv("WORKFLOW_ID", "orders")
    caplog.clear()
    assert command(*words, *kept) == 0
    assert caplog.messages == []


def test_a_managed_workflow_that_is_resumed(command, managed_dialect):
    """A factory's run that failed goes on where it stopped, under the same numbers."""
    assert command("start", "-w", "{}.resumable") == 1
    assert managed_dialect.statuses("orders") == [
        (1, "extract", "Completed"), (2, "flaky", "Failed"),
    ]  # fmt: skip
    Path("mended").touch()
    Path(f"extract.{os.getpid()}").unlink()
    assert command("start", "-w", "{}.resumable", "--resume") == 0
    assert not Path(f"extract.{os.getpid()}").exists()
    assert managed_dialect.statuses("orders") == [
        (1, "extract", "Completed"), (2, "flaky", "Completed"),
    ]  # fmt: skip
    assert managed_dialect.workflows()[0]["status"] == "Completed"


def test_a_pool_in_a_step_can_end_its_workers(spawn):
    """A forked child has the handlers of before: SIGTERM ends it, as multiprocessing expects."""
    process = spawn("start", "-s", "{}.pool")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


def test_a_resumed_workflow_whose_steps_cannot_be_told_apart():
    """One more of the same step is an error in one line, with the remedy, and status 1."""
    Path("ticks.py").write_text(
        "import os\n"
        "from dotflow import Config, DotFlow, action\n"
        "from dotflow.providers import StorageFile\n"
        "@action\n"
        "def tick(): return 1\n"
        "def flow():\n"
        "    flow = DotFlow(config=Config(storage=StorageFile(path='kept')), workflow_id='w')\n"
        "    flow.task.add([tick] * int(os.environ['TICKS']))\n"
        "    return flow\n"
    )
    said = [
        subprocess.run(
            [SCRIPT, "start", "-q", "-w", "ticks:flow", "--resume"], capture_output=True, text=True,
            timeout=60, check=False, env={**os.environ, "TICKS": ticks},
        )
        for ticks in "12"
    ]  # fmt: skip
    assert [one.returncode for one in said] == [0, 1]
    [line] = (said[1].stdout + said[1].stderr).splitlines()
    assert line.startswith(
        "Error: Workflow 'w' cannot be resumed: step 'tick' is there more or fewer"
    )
    assert line.endswith("or start the workflow without resume to run every step.")
