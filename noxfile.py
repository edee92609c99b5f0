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
    session.run("python", "-m", "pytest", "tests/actors/test_stress.py", *session.posargs, env=env)


@nox.session
def scenarios(session: nox.Session) -> None:
    """The demo over all faults, ten seeds each, and twenty healthy runs; about 25 minutes."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.support.demo_matrix", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Every performance claim, beside its peers."""
    session.install("-e", ".[bench,test]")
    session.run("python", "-m", "benchmarks", *session.posargs)
