"""A PostgreSQL server of this test process: Debian's package, on loopback, thrown away with its data."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from dartifact.local.lakefs_server import choose_port

_USER = "dartifact"
_PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin")
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB", "jit=off")
# The server ends when its standard input does: also when the tests are killed.
_GUARD = '"$@" & server=$!; read -r _; kill -INT $server; wait $server'


def find_programs() -> Path | None:
    """Return the folder of the server's programs, None where there is none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else []
    for place in _PLACES:
        folders += sorted(Path("/").glob(place.lstrip("/")), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server and yield the URL of a database in it; skips where it cannot be run, and says why."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    as_user: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if os.geteuid() == 0:  # the server refuses to be root
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
            as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(folder, user.pw_uid, user.pw_gid)
        secret, port = secrets.token_hex(16), choose_port()
        (folder / "secret").write_text(secret)
        (folder / "secret").chmod(0o644)  # in a folder that its owner alone can enter
        make = [programs / "initdb", "-D", folder / "data", "-U", _USER, "--auth=scram-sha-256",
                f"--pwfile={folder / 'secret'}", "--no-sync", "-E", "UTF8", "--locale=C"]  # fmt: skip
        done = subprocess.run(make, cwd=folder, capture_output=True, text=True, check=False, **as_user)
        if done.returncode:
            pytest.skip(f"PostgreSQL cannot be set up: {done.stderr.strip().splitlines()[-1]}")
        settings = [each for setting in (*_FAST, "unix_socket_directories=") for each in ("-c", setting)]
        serve = [programs / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), *settings]
        url = f"postgresql://{_USER}:{secret}@127.0.0.1:{port}/postgres"
        server = subprocess.Popen(["sh", "-c", _GUARD, "sh", *serve], cwd=folder, stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                                  **as_user)  # fmt: skip
        try:
            _wait_for(url, server)
            yield url
        finally:
            assert server.stdin is not None
            server.stdin.close()
            server.wait(30)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def empty_schema(server: str) -> Iterator[str]:
    """Yield the URL of an empty schema on a server, and drop it at the end with all that is in it."""
    schema = f"ledger_{uuid.uuid4().hex}"
    address = sa.make_url(server).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield sa.make_url(address).update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(False)
        # Who is still inside a transaction, a killed process say, would hold what is dropped.
        connection.execute("SET lock_timeout = '10s'")
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
