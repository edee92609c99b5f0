from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from beamlens.control.address import Address, Listener, addresses, folders, own_folder, remove_stale, socket_name
from beamlens.control.errors import ControlUnavailable


def connects(path):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True


def test_the_socket_is_its_owners_alone(folder):
    listener = Listener.open("beamlens")
    try:
        assert listener.path == folder / f"{os.getpid()}-beamlens.sock"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(listener.path.stat().st_mode) == 0o600
        assert os.listdir(folder) == [listener.path.name]
    finally:
        listener.close()
    assert os.listdir(folder) == []


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_whatever_the_umask_is(folder, umask):
    before = os.umask(umask)
    try:
        listener = Listener.open("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(listener.path.stat().st_mode) == 0o600
    listener.close()


def test_a_folder_that_others_may_enter_is_refused(folder):
    folder.mkdir(0o755)
    with pytest.raises(ControlUnavailable, match=r"others may enter .* \(mode 755\)"):
        Listener.open("x")


def test_a_link_is_refused(folder, tmp_path):
    tmp_path.chmod(0o700)
    folder.symlink_to(tmp_path)
    with pytest.raises(ControlUnavailable, match="must be a folder for control sockets, and is none"):
        Listener.open("x")


def test_a_file_in_the_folders_place_is_refused(folder):
    folder.write_text("")
    with pytest.raises(ControlUnavailable, match="must be a folder"):
        Listener.open("x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_refused_and_not_looked_into(folder):
    listener = Listener.open("x")
    os.chown(folder, 12345, 12345)
    with pytest.raises(ControlUnavailable, match="belongs to user 12345, not to 0"):
        Listener.open("x")
    assert addresses(0, os.getpid()) == []
    listener.close()


def test_without_a_runtime_folder_the_one_for_temporary_files_is_used(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for value in ("", "relative", str(tmp_path / "missing")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        assert own_folder() == tmp_path / f"beamlens-{os.geteuid()}"


def test_sockets_are_looked_for_where_another_environment_would_put_them(monkeypatch):
    uid = os.geteuid()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", "/elsewhere")
    assert folders(uid) == [
        Path(f"/elsewhere/beamlens-{uid}"),
        Path(f"/run/user/{uid}/beamlens"),
        Path(f"/tmp/beamlens-{uid}"),
    ]


def test_a_runtime_folder_of_ones_own_is_a_world_of_its_own_unless_a_process_is_named(folder):
    uid = os.geteuid()
    assert folders(uid, everywhere=False) == [folder]
    assert folders(uid) == [folder, Path(f"/run/user/{uid}/beamlens"), Path(f"/tmp/beamlens-{uid}")]


def test_a_path_that_is_too_long_for_a_socket_works(monkeypatch, tmp_path):
    runtime = tmp_path / ("x" * 120)
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    listener = Listener.open("beamlens")
    (found,) = addresses(os.geteuid(), os.getpid())
    assert found.path == listener.path
    assert len(os.fsencode(listener.path)) > 107
    assert remove_stale(found) is False
    listener.close()
    assert not found.path.exists()


def test_a_change_of_the_working_directory_changes_nothing(folder, monkeypatch, tmp_path):
    listener = Listener.open("x")
    monkeypatch.chdir(tmp_path)
    assert connects(listener.path)
    listener.close()
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("instance", "beginning"),
    [("a/../b", "7-a_.._b-"), ("\x1b[2J", "7-__2J-"), ("x" * 300, "7-" + "x" * 40 + "-"), ("\udcff", "7-_-")],
)
def test_an_instances_name_that_can_be_no_files_gets_one_of_its_own(instance, beginning):
    name = socket_name(7, instance)
    assert name.startswith(beginning)
    assert len(name) < 70
    assert "/" not in name
    assert socket_name(7, instance + "y") != name


def test_a_socket_that_nobody_listens_at_is_removed(folder):
    listener = Listener.open("x")
    listener.socket.close()
    (stale,) = addresses(os.geteuid(), os.getpid())
    assert remove_stale(stale) is True
    assert os.listdir(folder) == []


def test_what_is_no_socket_is_left_alone(folder):
    folder.mkdir(0o700)
    path = folder / "5-x.sock"
    path.write_text("mine")
    assert remove_stale(Address(path, 5)) is False
    assert path.read_text() == "mine"


def test_a_socket_that_took_the_place_is_not_removed_with_the_first(folder):
    first = Listener.open("x")
    second = Listener.open("x")
    first.close()
    assert connects(second.path)
    second.close()


def test_what_is_listened_at_is_never_stale():
    listener = Listener.open("x")
    (found,) = addresses(os.geteuid(), os.getpid())
    assert remove_stale(found) is False
    assert connects(found.path)
    listener.close()
