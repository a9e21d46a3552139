"""A process of its own that writes run logs and delivers them as it is told, until it is killed."""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from dotflow.delivery.dead import adoption
from dotflow.delivery.outbox import Outbox
from dotflow.logging import logger
from dotflow.runlog import writer
from dotflow.runlog.writer import run_log

SEGMENT_BYTES = 3000


class OutboxProcess:
    """A forked process with a run log and an outbox.

    Between two calls it does nothing, so what it said of itself holds until the next one.

    Args:
        name: The name of the outbox.
        looks_always: Whether it looks each time for what others left: else only when it is told to,
            for its histories are shorter than the time between two looks.

    Attributes:
        log: The id of its run log.
        pending: How many messages wait, those under way included.
    """

    def __init__(self, name, looks_always):
        self._connection, theirs = Pipe()
        with theirs:
            self._pid = _nursery().fork(name, looks_always, theirs)
        self.log, self.pending = "", 0

    def call(self, method, *args):
        """Have it do something; what that returns, or raises, comes back."""
        self._connection.send((method, args))
        is_well, answer, self.log, self.pending = self._connection.recv()
        if not is_well:
            raise answer
        return answer

    def forks_and_dies(self):
        """Have it fork and be killed; the child goes on in its place."""
        before = os.pidfd_open(self._pid)
        self._pid = self.call("fork")
        _wait_for_the_end(before)

    def dies(self):
        """Kill it."""
        process = os.pidfd_open(self._pid)
        os.kill(self._pid, signal.SIGKILL)
        _wait_for_the_end(process)
        self._connection.close()


def _wait_for_the_end(process):
    """Wait until a process is gone, and its locks with it."""
    ended, _, _ = select.select([process], [], [], 60)
    os.close(process)
    assert ended, "a killed process lives on"


class _Nursery:
    """A process that forks the others: it has no threads, and nothing that tests have loaded.

    gRPC aborts a process that forks, and was forked itself while gRPC was at work.
    """

    def __init__(self):
        self._socket, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.outbox_process", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={
                **{key: value for key, value in os.environ.items() if key not in _ours()},
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
        )
        theirs.close()
        atexit.register(self._end)

    def fork(self, name, looks_always, connection):
        """Have it fork a process that serves a connection; the process's number."""
        said = json.dumps([name, looks_always, _ours()]).encode()
        socket.send_fds(self._socket, [said], [connection.fileno()])
        return int(self._socket.recv(64))

    def _end(self):
        self._socket.close()
        self._process.wait(60)


def _ours():
    """What the environment says to dotflow, for the test that goes on."""
    return {key: value for key, value in os.environ.items() if key.startswith("DOTFLOW_")}


_nursery = functools.cache(_Nursery)
"""The one of the tests, made when it is first used."""


def _fork_as_asked(number):
    """Fork whenever that is asked, until nobody is there who may ask."""
    asked = socket.socket(fileno=number)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that end
    while True:
        said, given, _, _ = socket.recv_fds(asked, 2**16, 1)
        if not said:
            return
        pid = os.fork()
        if not pid:
            asked.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _begin(Connection(given[0]), *json.loads(said))
        os.close(given[0])
        asked.send(str(pid).encode())


def _begin(connection, name, looks_always, environment):
    """Be one of the processes, until it is killed or the test has ended."""
    try:
        os.environ.update(environment)
        adoption.LOOK_EVERY = 0.0 if looks_always else 3600.0
        _serve(name, connection)
    except EOFError:
        pass  # the test has ended
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


class Process:
    """One real process, what it has under way to the server, and what it has constructed."""

    def __init__(self, number, name):
        self.number = number
        self.outbox = OutboxProcess(name, looks_always=number % 2 == 0)
        self.next = itertools.count(1).__next__
        self.under_way = []
        self.made = []


class _Held:
    """What the process has: its outbox, and the messages that it claimed."""

    def __init__(self, name):
        self.name = name
        self.outbox = Outbox(name)
        self.flights = {}

    def write(self, line):
        run_log.append(line)

    def tear(self):
        """Leave a piece of a line, as a disk does that was full for a moment."""
        if run_log.segments:
            segment = run_log.segments[-1]
            os.write(segment._file.fd, b'{"f":"task ended","n":')
            segment._is_torn = True

    def damage(self):
        """Leave a line that is none."""
        if run_log.segments:
            run_log.append(b'{"f":"task ended","n":12,"w":"w1","t":\xff\n')

    def care(self, time_passes):
        self.outbox.care(at_once=time_passes)
        self.outbox.read()

    def claim(self, limit, is_bulk):
        """Claim messages: what each is, its number here, and the id that the server gave."""
        outbox = self.outbox
        flights = outbox.claim_bulk(limit, 10**6) if is_bulk else outbox.claim(limit)
        found = []
        for flight in flights:
            number = id(flight)
            self.flights[number] = flight
            message = flight.message
            found.append((number, message, outbox.lanes.ids.get(message.workflow, message.task)))
        return found

    def settle(self, numbers, outcomes):
        self.outbox.settle([self.flights.pop(one) for one in numbers], outcomes)
        self.outbox.lanes.hurry()

    def close(self):
        self.outbox.close()
        self.outbox = Outbox(self.name)

    def fork(self):
        if os.fork():
            os.kill(os.getpid(), signal.SIGKILL)
        self.outbox = self.outbox.renewed()
        self.flights = {}
        return os.getpid()


def _serve(name, connection):
    signal.alarm(1200)
    logger.disabled = True  # what is damaged, and refused, is so on purpose
    writer.SEGMENT_BYTES = SEGMENT_BYTES
    adoption.LONGEST_CALL = 3600.0
    held = _Held(name)
    while True:
        method, args = connection.recv()
        try:
            answer = True, getattr(held, method)(*args)
        except Exception as error:
            traceback.print_exc()
            answer = False, error
        connection.send((*answer, run_log.id, held.outbox.counts().pending))


if __name__ == "__main__":
    _fork_as_asked(int(sys.argv[1]))
