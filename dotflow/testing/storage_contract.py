"""What every storage must do, as tests for a storage of one's own."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dotflow.core.action import Action
from dotflow.core.config import Config
from dotflow.core.context import Context
from dotflow.core.task import Task
from dotflow.providers import LogDefault
from dotflow.providers.server_none import ServerNone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.abc.storage import Storage

WORKFLOW, OTHER = "contract", "contract-2"
"""Two workflows; the id of one begins with that of the other."""

SHORT, LONG = 0.05, 3600.0
"""Seconds that a value is kept."""

VALUES: tuple[Any, ...] = (
    "text", "", "null", "1", 'a "quoted" text', "ünïcödé \N{SNOWMAN}", 0, 1, -1.5, True, False,
    [], [1, "two", None], [[1], [2]], {}, {"a": {"b": [1, 2]}}, {"key": None},
)  # fmt: skip
"""What is kept as it is: whatever JSON can say. None stands for no value."""


class StorageContract:
    """Tests for your own storage: inherit them in a class of pytest or unittest.

        class TestMyStorage(StorageContract):
            supports_ttl = False

            def make_storage(self):
                return MyStorage(...)

    Each test makes a storage of its own, which has to be empty. The optional methods of the
    `Storage` contract are tested if the storage has them.

    Attributes:
        supports_ttl: Whether `post` takes `ttl`; set it to False if yours does not.
    """

    supports_ttl = True

    def make_storage(self) -> Storage:
        """Return an empty storage; each test calls this method once or more.

        Raises:
            NotImplementedError: Your class does not override this method.
        """
        raise NotImplementedError(f"{type(self).__name__} needs make_storage()")

    def test_what_is_absent_reads_as_an_empty_context(self) -> None:
        """`get` of a key that is not there is a Context without a value."""
        storage = self.make_storage()
        assert storage.get(_key(storage, 1)).storage is None

    def test_values_come_back_as_they_were(self) -> None:
        """Whatever JSON can say comes back equal, and of the same type."""
        storage = self.make_storage()
        for number, value in enumerate(VALUES, start=1):
            storage.post(_key(storage, number), Context(value))
        for number, value in enumerate(VALUES, start=1):
            kept = storage.get(_key(storage, number)).storage
            assert kept == value, f"{value!r} came back as {kept!r}"
            assert type(kept) is type(value), f"{value!r} came back as {kept!r}"

    def test_a_value_takes_the_place_of_the_one_before(self) -> None:
        """`post` overwrites: what is read is what was written last, not a list of all."""
        storage = self.make_storage()
        key = _key(storage, 1)
        for value in ([1, 2, 3], {"long": "x" * 5000}, "short"):
            storage.post(key, Context(value))
            assert storage.get(key).storage == value

    def test_no_value_takes_the_place_of_a_value(self) -> None:
        """A Context without a value (a task that failed) leaves no value behind."""
        storage = self.make_storage()
        key = _key(storage, 1)
        storage.post(key, Context("before"))
        storage.post(key, Context())
        assert storage.get(key).storage is None

    def test_each_task_has_a_key_of_its_own(self) -> None:
        """Two tasks, or two workflows, never share a key; one task always has the same."""
        storage = self.make_storage()
        keys = [_key(storage, number, wid) for wid in (WORKFLOW, OTHER) for number in (1, 2, 12)]
        assert len(set(keys)) == len(keys)
        assert all(isinstance(key, str) for key in keys)
        assert _key(storage, 1) == keys[0]

    def test_two_storages_do_not_share_what_they_keep(self) -> None:
        """`make_storage` gives an empty one each time: else these tests say nothing."""
        first, second = self.make_storage(), self.make_storage()
        first.post(_key(first, 1), Context("the first's"))
        assert second.get(_key(second, 1)).storage is None

    def test_clear_forgets_one_workflow(self) -> None:
        """`clear` forgets all that is kept of a workflow, and nothing of another one."""
        storage = self.make_storage()
        for wid in (WORKFLOW, OTHER):
            storage.post(_key(storage, 1, wid), Context(wid))
            storage.post(_key(storage, 2, wid), Context(wid))
        with _optional():
            storage.clear(workflow_id=WORKFLOW)
            assert storage.get(_key(storage, 1)).storage is None
            assert storage.get(_key(storage, 2)).storage is None
            assert storage.get(_key(storage, 1, OTHER)).storage == OTHER

    def test_delete_forgets_one_key(self) -> None:
        """`delete` says whether there was something."""
        storage = self.make_storage()
        storage.post(_key(storage, 1), Context("one"))
        storage.post(_key(storage, 2), Context("two"))
        with _optional():
            assert storage.delete(_key(storage, 1)) is True
            assert storage.delete(_key(storage, 1)) is False
            assert storage.get(_key(storage, 1)).storage is None
            assert storage.get(_key(storage, 2)).storage == "two"

    def test_delete_prefix_says_how_many(self) -> None:
        """`delete_prefix` forgets what begins so, and counts it."""
        storage = self.make_storage()
        keys = [_key(storage, number) for number in (1, 2)]
        for key in keys:
            storage.post(key, Context(1))
        with _optional():
            assert storage.delete_prefix(keys[0]) == 1
            assert storage.get(keys[0]).storage is None
            assert storage.get(keys[1]).storage == 1
            assert storage.delete_prefix("nothing begins so") == 0

    def test_list_keys_lists_what_begins_so(self) -> None:
        """`list_keys` gives the keys as `key` made them."""
        storage = self.make_storage()
        key, other = _key(storage, 1), _key(storage, 1, "another")
        for one in (key, other):
            storage.post(one, Context(1))
        with _optional():
            assert list(storage.list_keys(WORKFLOW)) == [key]
            assert sorted(storage.list_keys("")) == sorted([key, other])

    def test_atomic_swap_replaces_what_is_as_expected(self) -> None:
        """`atomic_swap` replaces a value only where it is the expected one; None is for absent."""
        storage = self.make_storage()
        key = _key(storage, 1)
        with _optional():
            assert storage.atomic_swap(key, None, "first") is True
            assert storage.atomic_swap(key, None, "not this one") is False
            assert storage.get(key).storage == "first"
            assert storage.atomic_swap(key, "first", Context("second")) is True
            assert storage.get(key).storage == "second"

    def test_a_value_with_a_ttl_expires(self) -> None:
        """With `ttl` a key reads as absent once so many seconds have passed, and not before."""
        if not self.supports_ttl:
            return
        storage = self.make_storage()
        brief, long = _key(storage, 1), _key(storage, 2)
        storage.post(long, Context("long"), ttl=LONG)
        storage.post(brief, Context("brief"), ttl=SHORT)
        time.sleep(2 * SHORT)
        assert storage.get(brief).storage is None
        assert storage.get(long).storage == "long"

    def test_a_value_without_a_ttl_stays(self) -> None:
        """A later `post` without `ttl` takes the expiry away."""
        if not self.supports_ttl:
            return
        storage = self.make_storage()
        key = _key(storage, 1)
        storage.post(key, Context("brief"), ttl=SHORT)
        storage.post(key, Context("stays"))
        time.sleep(2 * SHORT)
        assert storage.get(key).storage == "stays"


@contextmanager
def _optional() -> Iterator[None]:
    """Let a storage be without what is optional."""
    try:
        yield
    except NotImplementedError:
        return


def _key(storage: Storage, number: int, workflow: str = WORKFLOW) -> str:
    config = Config(server=ServerNone(), log=LogDefault(level="ERROR"))
    return storage.key(task=Task(number, _STEP, workflow_id=workflow, config=config))


def _nothing() -> Any:
    """Do nothing."""


_STEP = Action(_nothing)
