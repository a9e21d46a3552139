"""An executor whose workers are programs of their own, as those of a cluster or of MPI are."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import Executor, Future
from threading import Thread

WORKER = """
import pickle, sys
call, args = pickle.load(sys.stdin.buffer)
try:
    said = True, call(*args)
except BaseException as error:
    said = False, error
sys.stdout.buffer.write(pickle.dumps(said))
"""


class ProgramExecutor(Executor):
    """Runs each call in a program that knows neither the main module nor the folder of this one."""

    def __init__(self):
        self._threads = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        thread = Thread(target=self._run, args=(future, pickle.dumps((fn, args))))
        self._threads.append(thread)
        thread.start()
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        for thread in self._threads:
            thread.join()

    def _run(self, future, payload):
        if not future.set_running_or_notify_cancel():
            return
        made = subprocess.run(
            [sys.executable, "-c", WORKER], input=payload, capture_output=True, cwd="/", check=False
        )
        try:
            is_fine, result = pickle.loads(made.stdout)
        except Exception:
            is_fine, result = False, OSError(f"the program ended with {made.returncode}")
        if is_fine:
            future.set_result(result)
        else:
            future.set_exception(result)
