import hashlib
import re

from dotflow.api.web.assets import FOLDER, Assets, assets

VENDOR = FOLDER / "vendor"


def test_what_others_wrote_is_as_they_wrote_it():
    sums = dict(
        reversed(line.split("  "))
        for line in (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    )
    present = {one.name for one in VENDOR.iterdir()} - {"SHA256SUMS", "README.md"}
    assert present == set(sums)
    for name, expected in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == expected


def test_every_file_that_others_wrote_has_its_licence():
    scripts = {one.name.partition(".")[0] for one in VENDOR.glob("*.js")}
    assert scripts == {one.name.partition(".")[0] for one in VENDOR.glob("*.LICENSE.txt")}
    assert scripts


def test_nothing_is_loaded_from_elsewhere():
    for name, file in assets.files.items():
        if not name.startswith("vendor/"):
            assert not re.search(rb"https?://(?!www\.w3\.org/)", file.content), name
            assert b"//cdn" not in file.content


def test_the_address_of_files_changes_with_any_of_them(tmp_path):
    (tmp_path / "a.js").write_text("1", encoding="utf-8")
    (tmp_path / "b.css").write_text("2", encoding="utf-8")
    (tmp_path / "notes.md").write_text("not served", encoding="utf-8")
    before = Assets(tmp_path)
    assert set(before.files) == {"a.js", "b.css"}
    (tmp_path / "b.css").write_text("3", encoding="utf-8")
    assert Assets(tmp_path).digest != before.digest
