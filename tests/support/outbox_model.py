"""What a dotflow-api and the processes that report to it have to have done, in books of our own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from dotflow.delivery.message import Kind, Message


@dataclass
class Put:
    """One message that a run has put."""

    message: Message
    number: int
    run: Run


@dataclass(eq=False)
class Run:
    """One run of a workflow in one process."""

    workflow: str
    process: int
    opening: Kind
    posted: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    is_over: bool = False
    is_dead: bool = False
    died_before: int = 0  # the process that was started next has a higher number
    puts: list[Put] = field(default_factory=list)


class Books:
    """Keeps what was put, and holds what arrives against it."""

    def __init__(self) -> None:
        self.number = 0
        self.runs: list[Run] = []
        self.puts: dict[int, Put] = {}
        self.last: dict[tuple[str, int | None], Put] = {}
        self.arrived: dict[tuple[str, int | None], list[int]] = {}
        self.ends: dict[tuple[str, int | None], int] = {}  # how many had arrived before the end
        self.dead: dict[str, tuple[int, str]] = {}
        self.refused: set[tuple[str, int | None]] = set()
        self._ids: dict[int, str] = {}
        self._keys: set[str] = set()
        self._opened: set[str] = set()
        self._posted: set[tuple[str, int | None]] = set()

    def make(
        self, run: Run, kind: Kind, task: int | None, *, final: bool = False, running: bool = False
    ) -> Message:
        """The next message of a run, noted as put."""
        self.number += 1
        body = json.dumps({"n": self.number, f"f{self.number}": 1}).encode()
        message = Message(kind, run.workflow, task, body, final, running)
        put = Put(message, self.number, run)
        run.puts.append(put)
        self.puts[self.number] = self.last[run.workflow, task] = put
        return message

    def arrive(self, message: Message) -> None:
        """The server takes a message; a repeat changes nothing, and is no fault."""
        if message.id in self._keys:
            return
        self._keys.add(message.id)
        lane = (message.workflow, message.task)
        number = json.loads(message.body).get("n")
        if number is None:
            self._end(lane, message)
        else:
            self._said(lane, number, message)
        if message.kind.opens:
            self._opened.add(message.workflow)
        elif message.kind is Kind.TASK_POST:
            self._posted.add(lane)
        elif message.kind is Kind.TASK_PATCH:
            assert lane in self._posted, "a PATCH before its POST"
        if message.task is not None:
            assert message.workflow in self._opened, "a task before its workflow"

    def has(self, message: Message) -> bool:
        """Whether the server took a message, and answers a repeat as it did then."""
        return message.id in self._keys

    def refuse(self, message: Message, status: int, reason: str) -> None:
        """The server will never have a message."""
        self.dead[message.id] = (status, reason)
        self._opened.add(message.workflow)
        lane = (message.workflow, message.task)
        if message.kind is Kind.TASK_POST:
            self.refused.add(lane)
        number = json.loads(message.body).get("n")
        if number is None:  # the end of a dead process's run
            self.ends[lane] = len(self.arrived.get(lane, ()))
        else:
            self.arrived.setdefault(lane, []).append(number)

    def _end(self, lane: tuple[str, int | None], message: Message) -> None:
        assert message.final
        assert json.loads(message.body)["status"] == "Failed"
        puts = [run for run in self.runs if run.workflow == lane[0] and run.is_dead]
        assert puts, "the end of a run that goes on"
        self.ends[lane] = len(self.arrived.get(lane, ()))

    def _said(self, lane: tuple[str, int | None], number: int, message: Message) -> None:
        assert self._ids.setdefault(number, message.id) == message.id, "twice, under two ids"
        arrived = self.arrived.setdefault(lane, [])
        assert number > max(arrived, default=0), f"{lane} out of order: {number} after {arrived}"
        arrived.append(number)
        put = self.puts[number]
        if message.task is None and message.final:
            self._after_its_tasks(put)

    def _after_its_tasks(self, end: Put) -> None:
        later = [run for run in self.runs if run.workflow == end.run.workflow]
        if later[-1] is not end.run:  # the tasks wait for the next opening
            return
        for put in end.run.puts:
            lane = (end.run.workflow, put.message.task)
            if put.message.task is not None and self.last[lane] is put:
                done = max(self.arrived.get(lane, ()), default=0)
                is_done = done >= put.number or lane in self.ends or lane in self.refused
                assert is_done, "the end before its tasks"

    def check_all_arrived(self) -> None:
        """Nothing waits any more: the last word of each record is what it has to be."""
        for lane, put in self.last.items():
            arrived = self.arrived.get(lane, [])
            if lane in self.refused:
                continue
            is_owed = put.message.running and put.run.is_dead and not put.run.is_over
            if is_owed:
                assert lane in self.ends, f"{lane} has no end"
                assert self.ends[lane] == len(arrived), f"{lane} went on after its end"
                continue
            if put.run.is_over and put.message.running and put.run.is_dead:
                continue  # the end of its workflow says all
            assert arrived, f"of {lane} nothing arrived"
            assert arrived[-1] == put.number, f"the last word of {lane} was lost"
            if lane in self.ends:
                assert self.ends[lane] < len(arrived), f"{lane} went back"
