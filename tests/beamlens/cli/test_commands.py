from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from beamlens.cli.commands import NoPythonScript, find_command
from tests.support.hosts import command


def script(folder, name, first, body="import sys\nprint(sys.argv, __name__, sys.path[0])\n"):
    path = folder / name
    path.write_text(f"{first}\n{body}")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_a_command_beside_the_interpreter_is_found():
    assert find_command("gunicorn") == str(Path(sys.executable).parent / "gunicorn")


@pytest.mark.parametrize("name", ["no-such-command", "", "bin/tool", "../tool"])
def test_what_is_no_command_is_none(name):
    assert find_command(name) is None


def test_a_script_of_this_interpreter_on_the_path_is_found(folder):
    path = script(folder, "mytool", f"#!{sys.executable}")
    assert find_command("mytool") == str(path)


def test_a_script_whose_first_line_would_be_too_long_is_understood(folder):
    head = f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''"
    assert find_command("mytool") is None
    path = script(folder, "mytool", head)
    assert find_command("mytool") == str(path)


def test_a_script_of_another_environment_is_refused_with_the_way_out(folder):
    path = script(folder, "mytool", "#!/opt/other/bin/python3")
    with pytest.raises(NoPythonScript) as error:
        find_command("mytool")
    assert str(error.value) == (
        f"{path} belongs to another Python (/opt/other/bin/python3), not to {sys.executable}: install Beamlens in its "
        "environment, and use the `beamlens` command there"
    )


@pytest.mark.parametrize("first", ["#!/bin/sh", "\x7fELF", "", "#!", "#!/usr/bin/env"])
def test_what_is_no_python_is_refused(folder, first):
    path = script(folder, "mytool", first)
    with pytest.raises(NoPythonScript, match=f"{path} is no Python script; only what Python runs"):
        find_command("mytool")


def test_a_command_runs_as_a_shell_would_run_it(folder, tmp_path_factory):
    path = script(folder, "mytool", f"#!{sys.executable}")
    plain = subprocess.run([str(path), "-x", "--report"], capture_output=True, text=True, check=True)
    watched = command("run", "--", "mytool", "-x", "--report")
    assert watched.stdout == plain.stdout
    assert "Beamlens report" in watched.stderr


def test_a_file_comes_before_a_command_and_a_command_before_a_folder(folder, monkeypatch, tmp_path_factory):
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    script(folder, "mytool", f"#!{sys.executable}", "print('command')")
    (here / "mytool").mkdir()
    assert command("run", "--", "mytool").stdout == "command\n"
    (here / "mytool").rmdir()
    (here / "mytool").write_text("print('file')")
    assert command("run", "--", "mytool").stdout == "file\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sh", "-c", "true"), "is no Python script; only what Python runs can be watched from inside"),
        (("no-such-thing",), "there is no file 'no-such-thing', and no command of that name"),
        (("/tmp",), "the folder '/tmp' has no __main__.py"),
    ],
)
def test_what_cannot_be_run_is_told_with_exit_code_2(words, said):
    done = command("run", "--", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
