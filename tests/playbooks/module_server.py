# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the modules of Ansible in a host's namespaces: a process that has imported them forks for each module.

Ansible starts a Python for each task, which compiles the module and everything that it imports. Here, the host's Python
is a client that passes its standard streams to the process, and ends with the exit code of the module.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

# Modules and what they import are loaded once. Others are loaded when they are used.
_PRELOADED = ("ansible.module_utils.basic", "ansible.modules.copy", "ansible.modules.stat", "ansible.modules.file")

CLIENT = """import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
socket.send_fds(server, [b"run"], [0, 1, 2])
os._exit(int(server.recv(16) or b"125"))
"""


def _preload() -> None:
    collection = Path(importlib.import_module("ansible_collections.vfio.mdev").__path__[0])
    names = sorted(path.stem for path in (collection / "plugins/modules").glob("mdev_*.py"))
    for name in (*_PRELOADED, *(f"ansible_collections.vfio.mdev.plugins.modules.{name}" for name in names)):
        importlib.import_module(name)


def _run(streams: list[int]) -> int:
    """Run the program on the standard input, as python does."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    # They still belong to the streams of the server.
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["-"]
    code = 0
    try:
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _serve(connection: socket.socket) -> None:
    _data, streams, _flags, _address = socket.recv_fds(connection, 16, 3)
    # Modules wait for the programs that they start.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.sendall(str(_run(streams)).encode())


def main() -> None:
    """Serve at the given path."""
    _preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen(64)
    while True:
        connection, _address = server.accept()
        if os.fork() == 0:
            _serve(connection)
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    import conftest  # noqa: F401 pylint: disable=unused-import # registers the collection

    main()
