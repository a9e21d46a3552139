"""Nothing is unpickled from a place that others can write to."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from support.storage_values import (
    Planted,
)

from dotflow import Context
from dotflow.core.exception import ValueNotKept
from dotflow.providers import StorageFile


@pytest.fixture
def storage():
    return StorageFile(path="out")


def there_and_back(storage, value):
    storage.post("k", Context(value))
    return StorageFile(path=storage.path.parent).get("k").storage


class TestWhoCanWrite:
    """Nothing is pickled to, or unpickled from, a place that others can write to."""

    @staticmethod
    def plant(storage):
        """Put a pickle into the place of another, as somebody else would."""
        storage.path.chmod(0o700)
        storage.post("k", Context(Planted()))

    @staticmethod
    def check(storage, caplog, why):
        caplog.clear()
        assert storage.get("k").storage is None
        [line] = caplog.messages
        assert "it is a pickle that may be somebody else's: " in line
        assert why in line
        assert not Path("planted").exists()

    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777, 0o720])
    def test_the_folder(self, storage, caplog, mode):
        """A folder that others can write to holds JSON only; the error names the remedy."""
        self.plant(storage)
        storage.path.chmod(mode)
        self.check(storage, caplog, f"others can write to {storage.path}")
        with pytest.raises(ValueNotKept, match=f"others can write to {storage.path}.*chmod go-w"):
            storage.post("k", Context({1}))
        storage.post("k", Context([1]))
        assert storage.get("k").storage == [1]

    @pytest.mark.parametrize("mode", [0o777, 0o707])
    def test_a_folder_above(self, storage, caplog, mode):
        """Nor is a folder trusted that others can put another one in the place of."""
        self.plant(storage)
        Path("out").chmod(mode)
        self.check(storage, caplog, f"by way of {Path('out').absolute()}")
        with pytest.raises(ValueNotKept, match="in the place of"):
            storage.post("k", Context({1}))
        Path("out").chmod(mode | 0o1000)  # sticky, as /tmp: only the owner moves things there
        storage.post("k", Context({1}))
        assert storage.get("k").storage == {1}

    @pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
    def test_the_file(self, storage, caplog, mode):
        """A file that others can write to is not unpickled."""
        self.plant(storage)
        (storage.path / "k").chmod(mode)
        self.check(storage, caplog, f"others can write to {storage.path / 'k'}")

    def test_links(self, storage, caplog):
        """A pickle that is elsewhere is not unpickled, nor one in a folder that is a link."""
        self.plant(storage)
        (storage.path / "k").rename("elsewhere")
        (storage.path / "k").symlink_to(Path("elsewhere").absolute())
        self.check(storage, caplog, "is a link")
        storage.path.rename("other")
        storage.path.symlink_to(Path("other").absolute())
        Path("elsewhere").replace("other/k")
        self.check(storage, caplog, "is a link")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    @pytest.mark.parametrize("what", ["the folder", "the file", "a link above"])
    def test_other_users(self, storage, caplog, what):
        """What belongs to another user is not unpickled."""
        self.plant(storage)
        if what == "a link above":
            Path("link").symlink_to("out")
            storage = StorageFile(path="link")
            assert there_and_back(storage, {1}) == {1}
            self.plant(storage)
            os.chown("link", 12345, 12345, follow_symlinks=False)
            self.check(storage, caplog, "by way of")
            return
        os.chown(storage.path if what == "the folder" else storage.path / "k", 12345, 12345)
        self.check(storage, caplog, "belongs to another user")

    def test_a_system_that_does_not_say(self, storage, caplog, monkeypatch):
        """Where the system names no owners nothing is pickled."""
        self.plant(storage)
        monkeypatch.delattr(os, "geteuid")
        self.check(storage, caplog, "does not say who may write")
        with pytest.raises(ValueNotKept, match="does not say who may write"):
            storage.post("k", Context({1}))

    def test_what_dotflow_makes_is_private(self):
        """The folder and its files are the user's alone, whatever the umask is."""
        before = os.umask(0)
        try:
            storage = StorageFile(path="own")
            storage.post("k", Context({1}), ttl=1000)
            storage.post("j", Context(1))
        finally:
            os.umask(before)
        assert storage.path.stat().st_mode & 0o777 == 0o700
        files = {file.name: file.stat().st_mode & 0o777 for file in storage.path.iterdir()}
        assert files == {"k": 0o600, "k.meta": 0o600, "j": 0o600}

    def test_a_folder_for_a_team(self):
        """In a folder that was made for others to write to they can read the files, too."""
        Path("team/tasks").mkdir(parents=True)
        Path("team/tasks").chmod(0o2775)
        before = os.umask(0o002)
        try:
            StorageFile(path="team").post("k", Context(1))
        finally:
            os.umask(before)
        assert Path("team/tasks").stat().st_mode & 0o7777 == 0o2775
        assert Path("team/tasks/k").stat().st_mode & 0o777 == 0o664


def test_a_planted_pickle_of_another_kind(storage, caplog):
    """A bare pickle in the place of a result is no result."""
    (storage.path / "k").write_bytes(pickle.dumps(Planted()))
    assert storage.get("k").storage is None
    assert not Path("planted").exists()
    assert "no JSON" in caplog.text


def test_a_step_that_changes_the_folder(monkeypatch):
    """A relative path is that of the moment when it was given."""
    storage = StorageFile(path="out")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    storage.post("k", Context({1}))
    assert storage.get("k").storage == {1}
    assert list(Path().iterdir()) == []
