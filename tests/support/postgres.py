"""A real PostgreSQL server of the tests' own: its data in a temporary folder, reached over a socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_OPTIONS = {
    "listen_addresses": "",
    "shared_preload_libraries": "pg_stat_statements",
    "fsync": "off",
    "max_connections": "40",
    "autovacuum": "off",
    "deadlock_timeout": "60s",
}


class PostgresCluster:
    """Started with `start`; PostgreSQL refuses to run as root, so root starts it as somebody else."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="bl-pg-"))
        self._user: dict[str, str] = {}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            name = "postgres" if "postgres" in names else "nobody"
            self._user = {"user": name}
            os.chown(self._folder, pwd.getpwnam(name).pw_uid, -1)
        self._server: subprocess.Popen[bytes] | None = None

    def url(self, user: str = "tester", driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://{user}@/postgres?host={self._folder}"

    def start(self) -> None:
        data = str(self._folder / "data")
        command = [self._programs / "initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._user)
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", data, "-k", str(self._folder), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                **self._user,
            )
        self._wait()

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _wait(self) -> None:
        import psycopg

        for _ in range(400):
            try:
                with psycopg.connect(host=str(self._folder), user="tester", dbname="postgres", autocommit=True) as conn:
                    conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
                return
            except psycopg.OperationalError as error:
                assert self._server is not None
                try:
                    self._server.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                raise RuntimeError(f"PostgreSQL ended: {self._log.read_text()[-2000:]}") from error
        raise TimeoutError("PostgreSQL did not start within 20 s")

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # ends its clients
            self._server.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """The server; one for all tests of a session."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or [
        Path(path) for path in [shutil.which("postgres")] if path
    ]
    if not found:
        pytest.skip("engine: no PostgreSQL server is installed (Debian: apt-get install postgresql postgresql-contrib)")
    cluster = PostgresCluster(found[-1].parent)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
