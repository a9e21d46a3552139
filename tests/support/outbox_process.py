"""An outbox in a process of its own, which answers, forks, and is killed."""

from __future__ import annotations

import os
import select
import signal
from multiprocessing import Pipe

from dotflow.delivery.outbox import Outbox


class OutboxProcess:
    """A forked process that holds an outbox, and does with it what it is told.

    Between two calls it does nothing, so what it said of itself holds until the next one.

    Args:
        name: The name of the outbox.

    Attributes:
        pending: How many messages are pending.
        places: The files that it has open.
    """

    def __init__(self, name):
        self._connection, theirs = Pipe()
        pid = os.fork()
        if not pid:
            try:
                self._connection.close()
                _serve(Outbox(name), theirs)
            finally:
                os._exit(1)
        theirs.close()
        self._pid, self._is_child = pid, True
        self.pending, self.places = 0, []

    def call(self, method, *args, **kwargs):
        """Call a method of the outbox; what it returns, or raises, comes back."""
        self._connection.send((method, args, kwargs))
        is_well, answer, self.pending, self.places = self._connection.recv()
        if not is_well:
            raise answer
        return answer

    def knows(self, workflow):
        """Whether there are reports of a workflow."""
        return self.call(_knows, workflow)

    def care_and_claim(self, limit, time_passes):
        """Do what a relay's thread does before it sends something."""
        return self.call(_care_and_claim, limit, time_passes)

    def forks_and_dies(self):
        """Have it fork and be killed; the child goes on in its place."""
        child = self.call(_fork)
        self._end()
        self._pid, self._is_child = child, False

    def dies(self):
        """Kill it."""
        os.kill(self._pid, signal.SIGKILL)
        self._end()
        self._connection.close()

    def _end(self):
        """Wait until the process is gone, and its locks with it."""
        if self._is_child:
            _, status = os.waitpid(self._pid, 0)
            assert os.WIFSIGNALED(status), f"it ended by itself: {status}"
            return
        process = os.pidfd_open(self._pid)  # it is nobody's child any more
        ended, _, _ = select.select([process], [], [], 60)
        os.close(process)
        assert ended, f"{self._pid} lives on"


def _serve(outbox, connection):
    while True:
        method, args, kwargs = connection.recv()
        try:
            act = method if callable(method) else getattr(type(outbox), method)
            answer = True, act(outbox, *args, **kwargs)
        except Exception as error:
            answer = False, error
        connection.send((*answer, outbox.counts().pending, _places(outbox)))


def _knows(outbox, workflow):
    return outbox._queue.knows(workflow)


def _places(outbox):
    stores = [store for store in (outbox._store, *outbox._adopted) if store is not None]
    return [store.place for store in stores]


def _care_and_claim(outbox, limit, time_passes):
    outbox.care(at_once=time_passes)
    return outbox.claim(limit)


def _fork(outbox):
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    outbox.after_fork()
    return os.getpid()
