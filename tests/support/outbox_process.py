"""A process of its own that writes run logs and delivers them as it is told, until it is killed."""

from __future__ import annotations

import itertools
import os
import select
import signal
import traceback
from multiprocessing import Pipe

from dotflow.delivery import adoption
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
        pid = os.fork()
        if not pid:
            try:
                self._connection.close()
                adoption.LOOK_EVERY = 0.0 if looks_always else 3600.0
                _serve(name, theirs)
            except EOFError:
                pass  # the test has ended
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()
        self._pid, self._is_child = pid, True
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
        child = self.call("fork")
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
