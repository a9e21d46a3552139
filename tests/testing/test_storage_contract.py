"""`StorageContract`: holds our storages to it, and finds what one does wrong."""

from __future__ import annotations

import itertools
import json
from uuid import uuid4

import pytest

from dotflow import Context
from dotflow.abc.storage import Storage
from dotflow.providers import StorageDefault, StorageFile
from dotflow.testing import StorageContract


class TestStorageDefault(StorageContract):
    def make_storage(self):
        return StorageDefault()


class TestStorageFile(StorageContract):
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path):
        self._folders = (tmp_path / str(number) for number in itertools.count())

    def make_storage(self):
        return StorageFile(path=next(self._folders))


class TestStorageFileAtAnAddress(StorageContract):
    def make_storage(self):
        return StorageFile(path=f"memory://contract-{uuid4()}")


class OnlyWhatIsNeeded(Storage):
    """What the contract demands, and no more."""

    def __init__(self):
        self.kept = {}

    def post(self, key, context):
        self.kept[key] = json.dumps(context.storage)

    def get(self, key):
        return Context(json.loads(self.kept.get(key, "null")))

    def key(self, task):
        return f"{task.workflow_id}-{task.task_id}"


class TestASmallStorage(StorageContract):
    supports_ttl = False

    def make_storage(self):
        return OnlyWhatIsNeeded()


class Appends(OnlyWhatIsNeeded):
    def post(self, key, context):
        self.kept[key] = json.dumps([*json.loads(self.kept.get(key, "[]")), context.storage])


class Texts(OnlyWhatIsNeeded):
    def get(self, key):
        return Context(self.kept.get(key))


class OneKey(OnlyWhatIsNeeded):
    def key(self, task):
        return str(task.task_id)


class ClearsByPrefix(OnlyWhatIsNeeded):
    def delete_prefix(self, prefix):
        for key in [key for key in self.kept if key.startswith(prefix[:-1])]:
            del self.kept[key]
        return 1


class NoExpiry(OnlyWhatIsNeeded):
    def post(self, key, context, ttl=None, fingerprint=None):
        super().post(key, context)


class Shared(OnlyWhatIsNeeded):
    kept = {}  # noqa: RUF012

    def __init__(self):
        pass


@pytest.mark.parametrize(
    ("made", "test"),
    [
        (Appends, "test_a_value_takes_the_place_of_the_one_before"),
        (Texts, "test_values_come_back_as_they_were"),
        (OneKey, "test_each_task_has_a_key_of_its_own"),
        (ClearsByPrefix, "test_clear_forgets_one_workflow"),
        (ClearsByPrefix, "test_delete_prefix_says_how_many"),
        (NoExpiry, "test_a_value_with_a_ttl_expires"),
        (Shared, "test_two_storages_do_not_share_what_they_keep"),
    ],
)
def test_what_a_storage_does_wrong_is_found(made, test):
    """Each kind of fault fails a test."""

    class Found(StorageContract):
        def make_storage(self):
            return made()

    with pytest.raises(AssertionError):
        getattr(Found(), test)()


def test_a_class_without_a_storage():
    """The remedy is named."""
    with pytest.raises(NotImplementedError, match="StorageContract needs make_storage"):
        StorageContract().make_storage()
