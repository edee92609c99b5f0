"""Longer runs, each in a virtual environment of its own."""

import os
import shutil

import nox

nox.options.sessions = ["tests"]
PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, on every CPython that is installed."""
    if isinstance(session.python, str) and shutil.which(f"python{session.python}") is None:
        session.skip(f"python{session.python} is not installed")
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS)
def stress(session: nox.Session) -> None:
    """Actors under traffic that crash, end and are replaced; a minute on every CPython that is installed."""
    if isinstance(session.python, str) and shutil.which(f"python{session.python}") is None:
        session.skip(f"python{session.python} is not installed")
    session.install("-e", ".[test]")
    env = {"BEAMLENS_STRESS_SECONDS": os.environ.get("BEAMLENS_STRESS_SECONDS", "60")}
    session.run("python", "-m", "pytest", "-n", "0", "tests/actors/test_stress.py", *session.posargs, env=env)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Generated Lua against the sandbox: a minute for each of five seeds."""
    session.install("-e", ".[test]")
    seconds = os.environ.get("BEAMLENS_LUA_FUZZ_SECONDS", "60")
    for seed in range(1, 6):
        session.run(
            *("python", "-m", "pytest", "-n", "0", "tests/beamlens/lua/test_fuzz.py", "-s", *session.posargs),
            env={"BEAMLENS_LUA_FUZZ_SECONDS": seconds, "BEAMLENS_LUA_FUZZ_SEED": str(seed)},
        )


@nox.session
def scenarios(session: nox.Session) -> None:
    """The demo over all faults, ten seeds each, and twenty healthy runs; about 25 minutes."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.support.demo_matrix", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Supervisors for longer: kills in large trees, random steps beside the model, scenarios beside OTP; 10 minutes."""
    session.install("-e", ".[test]")
    for seed in range(1, 6):
        session.run(
            *("python", "-m", "pytest", "tests/supervision/test_chaos.py", *session.posargs),
            env={"BEAMLENS_CHAOS_KILLS": "10000", "BEAMLENS_CHAOS_SEED": str(seed)},
        )
    session.run(
        *("python", "-m", "pytest", "tests/supervision/test_model.py", "tests/supervision/test_oracle.py"),
        *("-o", "timeout=900", *session.posargs),
        env={
            "BEAMLENS_MODEL_EXAMPLES": "3000",
            "BEAMLENS_ORACLE_SCENARIOS": "10000",
            "BEAMLENS_ORACLE_SEED": "100000",
        },
    )


@nox.session
def docs(session: nox.Session) -> None:
    """The site of the documentation; a broken link is an error."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def day(session: nox.Session) -> None:
    """Simulated days: a quiet one with each reading of the sensors, and 24 hours without a rest; some minutes."""
    session.install("-e", ".[test]")
    session.run(
        *("python", "-m", "pytest", "tests/beamlens/watcher/test_quiet_day.py", "tests/integration/test_load.py"),
        *("-k", "day or continuously", *session.posargs),
        env={"BEAMLENS_WHOLE_DAY": "1", "BEAMLENS_WATCH_HOURS": "24"},
    )


@nox.session
def load(session: nox.Session) -> None:
    """A hundred thousand alerts from 32 watchers on a Coordinator that is far too slow, five times."""
    session.install("-e", ".[test]")
    for _ in range(5):
        session.run(
            *("python", "-m", "pytest", "tests/integration/test_load.py", "-k", "burst", *session.posargs),
            env={"BEAMLENS_LOAD_ALERTS": "100000"},
        )


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Every performance claim, beside its peers."""
    session.install("-e", ".[bench,test]")
    session.run("python", "-m", "benchmarks", *session.posargs)
