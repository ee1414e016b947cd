# SPDX-License-Identifier: Apache-2.0
"""Run a program with a PostgreSQL of its own: with_postgres.py PROGRAM [ARGUMENT ...]

The server runs as an ordinary user on a socket in a temporary folder, and is gone afterwards. Its address is in
DV_TEST_POSTGRES, how to stop and start it again in DV_TEST_PG_CTL. Without PostgreSQL the status is 77 (skipped), with
DV_REQUIRE_DATA=1 that is a failure.
"""
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile


def find_binaries():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def as_ordinary_user(folder):
    """Words to put before a command: the server refuses to run as root."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "env", f"HOME={folder}"]


def main():
    binaries = find_binaries()
    if not binaries:
        print("there is no PostgreSQL here", file=sys.stderr)
        return 1 if os.environ.get("DV_REQUIRE_DATA") == "1" else 77
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dv-postgres-", dir="/tmp"))
    data = folder / "data"
    before = as_ordinary_user(folder)
    control = [*before, str(binaries / "pg_ctl"), "-D", str(data), "-l", str(folder / "log"), "-w"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    try:
        subprocess.run([*before, str(binaries / "initdb"), "-D", str(data), "-U", "dv", "-A", "trust", "-E", "UTF8",
                        "--locale=C.UTF-8", "-N"], **quiet)
        with open(data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nmax_connections = 50\n")
        subprocess.run([*control, "start"], **quiet)
        subprocess.run([*before, str(binaries / "createdb"), "-h", str(folder), "-U", "dv", "dv"], **quiet)
        environment = {**os.environ, "DV_TEST_POSTGRES": f"postgresql://dv@/dv?host={folder}",
                       "DV_TEST_PG_CTL": " ".join(control)}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, cwd="/")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
