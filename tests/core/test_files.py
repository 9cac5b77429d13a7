"""Files are whole or absent."""

import errno
import os
import stat
from pathlib import Path

import pytest

from armillary.core.files import atomic_write, replace_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "table.csv"
    with atomic_write(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.suffix == ".csv"
    assert target.read_text() == "whole"
    assert names(target.parent) == ["table.csv"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    write = atomic_write(target)
    write.__enter__().write_text("half")
    assert not write.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "table.csv"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_write(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(target):
        pass
    assert target.read_text() == "old"


def test_a_folder_replaces_a_folder_with_all_it_held(tmp_path: Path) -> None:
    target = tmp_path / "store.zarr"
    for content in ("first", "second"):
        with atomic_write(target) as temporary:
            (temporary / "group").mkdir(parents=True)
            (temporary / "group" / content).write_text(content)
    assert names(target / "group") == ["second"]
    assert names(tmp_path) == ["store.zarr"]


def test_the_file_has_the_permissions_of_a_plain_one(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with atomic_write(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")}
    assert len(modes) == 1


def test_a_dangling_link_in_a_folder_does_not_stop_the_move(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link").symlink_to("nowhere")
    replace_atomically(tmp_path / "source", tmp_path / "target")
    assert names(tmp_path / "target") == ["link"]
