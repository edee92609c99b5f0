"""A watched program cannot tell that it is watched: each is run bare and under `beamlens run`, and compared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import zipfile

import pytest

REPORT = "Beamlens report: healthy"


def python(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def assert_same(cwd, *program, **environment):
    """Exit code, output and errors; ours ends with the report, which is its only addition."""
    bare = python(*program, cwd=cwd, **environment)
    ours = python("-m", "beamlens", "run", *program, cwd=cwd, **environment)
    errors, found, _report = ours.stderr.partition(REPORT)
    assert found
    assert (ours.returncode, ours.stdout, errors) == (bare.returncode, bare.stdout, bare.stderr)
    return bare


def write(folder, source, name="program.py"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return name


LOOK = """
import sys
names = ("__name__", "__file__", "__package__", "__cached__", "__doc__", "__annotations__")
print([globals()[name] for name in names], __spec__ and __spec__.name, type(__loader__).__name__)
print(sorted(globals()), sys.modules["__main__"].__dict__ is globals())
print(sys.argv, sys.path)
"""


@pytest.mark.parametrize("path", ["program.py", "./program.py", "sub/program.py", "link.py"])
def test_a_script_sees_itself_as_under_python(tmp_path, path):
    write(tmp_path, LOOK)
    write(tmp_path, LOOK, "sub/program.py")
    (tmp_path / "link.py").symlink_to(tmp_path / "sub" / "program.py")
    assert assert_same(tmp_path, path, "a", "--json").returncode == 0


def test_a_module_and_a_package_see_themselves_as_under_python(tmp_path):
    write(tmp_path, "print('first')", "package/__init__.py")
    for name in ("package/__main__.py", "package/part.py"):
        write(tmp_path, LOOK, name)
    assert assert_same(tmp_path, "-m", "package", "a").returncode == 0
    assert assert_same(tmp_path, "-m", "package.part").returncode == 0


def test_folders_and_archives_run_whatever_their_name(tmp_path):
    write(tmp_path, LOOK, "folder/__main__.py")
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("__main__.py", LOOK)
    assert assert_same(tmp_path, "folder", "a").returncode == 0
    assert assert_same(tmp_path, "archive").returncode == 0


def test_a_safe_path_stays_safe(tmp_path):
    write(tmp_path, LOOK)
    assert assert_same(tmp_path, "program.py", PYTHONSAFEPATH="1").returncode == 0


FORKS = """
import os
pid = os.fork()
if pid == 0:
    raise KeyboardInterrupt
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize(
    "source",
    [
        FORKS,
        "raise KeyboardInterrupt",
        "class Ours(KeyboardInterrupt): pass\nraise Ours",
        "import sys; sys.exit(2**80)",
        "def f(:\n    pass\n",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error\n",
        "import sys\ndef hook(*_):\n    raise RuntimeError('hook')\nsys.excepthook = hook\n1 / 0\n",
        "import sys\nsys.excepthook = lambda *_: sys.exit(5)\n1 / 0\n",
        "import atexit, sys\natexit.register(lambda: print(repr(sys.last_value)))\n1 / 0\n",
    ],
)
def test_a_program_ends_as_under_python(tmp_path, source):
    write(tmp_path, source)
    assert_same(tmp_path, "program.py")


@pytest.mark.parametrize("name", ["nothing", "package", "package.nothing", "package.broken"])
def test_a_module_that_cannot_run_is_refused_in_pythons_words(tmp_path, name):
    write(tmp_path, "", "package/__init__.py")
    write(tmp_path, "def f():\n    1 / 0\nf()\n", "package/broken.py")
    assert assert_same(tmp_path, "-m", name).returncode == 1


def test_threads_that_outlive_the_main_module_still_find_it(tmp_path):
    source = """
        import pickle, threading
        class Late:
            pass
        def work():
            threading.main_thread().join()
            print(type(pickle.loads(pickle.dumps(Late()))).__module__)
        threading.Thread(target=work).start()
    """
    write(tmp_path, source)
    assert assert_same(tmp_path, "program.py").stdout == "__main__\n"
    assert assert_same(tmp_path, "-m", "program").stdout == "__main__\n"


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_child_processes_find_the_main_module(tmp_path, method):
    source = f"""
        import multiprocessing
        def square(number):
            return number * number
        if __name__ == "__main__":
            with multiprocessing.get_context("{method}").Pool(1) as pool:
                print(pool.map(square, [2, 3]))
    """
    write(tmp_path, source)
    ours = python("-m", "beamlens", "run", "program.py", cwd=tmp_path)
    assert ours.stdout == "[4, 9]\n"


WAITS = """
import logging, logging.handlers, sys, time
out = open("out", "w")
out.write("buffered")
keeper = logging.handlers.MemoryHandler(100, target=logging.FileHandler("log"))
logging.getLogger("program").addHandler(keeper)
logging.getLogger("program").warning("kept")
print("up", flush=True)
time.sleep(60)
"""


def test_ctrl_c_lets_the_program_write_what_it_buffered(tmp_path):
    write(tmp_path, WAITS)
    process = subprocess.Popen(
        [sys.executable, "-m", "beamlens", "run", "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    _out, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert (tmp_path / "out").read_text() == "buffered"
    assert (tmp_path / "log").read_text() == "kept\n"
    assert errors.count("KeyboardInterrupt") == 1
    assert REPORT in errors


def test_a_program_may_start_beamlens_itself(tmp_path):
    source = """
        from beamlens import Beamlens
        with Beamlens.start(watchers=["logger"]) as lens:
            print(lens.name, lens.running)
    """
    write(tmp_path, source)
    assert assert_same(tmp_path, "program.py").stdout == "beamlens True\n"


def test_the_report_goes_where_it_was_asked_for_although_the_program_moves(tmp_path):
    write(tmp_path, "import os, tempfile\nos.chdir(tempfile.gettempdir())\n")
    done = python("-m", "beamlens", "run", "--report", "report.txt", "program.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "report.txt").read_text().startswith(REPORT)


def test_the_module_may_follow_its_option_at_once(tmp_path):
    write(tmp_path, "import sys; print(sys.argv[1:])")
    assert python("-m", "beamlens", "run", "-mprogram", "-x", cwd=tmp_path).stdout == "['-x']\n"


def test_a_file_that_cannot_be_read_is_a_mistake_and_starts_nothing(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from beamlens.cli import main

    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who reads everything
    write(tmp_path, "print(1)")
    done = CliRunner().invoke(main, ["run", str(tmp_path / "program.py")])
    assert done.exit_code == 2
    assert "cannot be read" in done.stderr
