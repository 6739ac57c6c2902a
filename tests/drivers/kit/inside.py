# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside the machine of :mod:`drivers.kit.namespace`: makes its root, and then does what it is told."""

from __future__ import annotations

import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import collection
from asking import run_module

# Folders of the machine that are not the tester's.
_OWN = ("dev", "etc", "proc", "run", "sys")
_DEVICES = ("null", "zero", "random", "urandom")
# Opens a file, says so, and stays.
_HOLDER = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR); print(flush=True); time.sleep(600)"

_holders: list[subprocess.Popen[bytes]] = []


def make_root(host: Path, etc: Path, root: Path) -> None:
    """The tester's files, not to be written, with the host's /sys and /dev/vfio and an /etc of the machine's own."""
    _mount("-t", "tmpfs", "tmpfs", root)
    for name in sorted(os.listdir("/")):
        here = Path("/", name)
        if here.is_symlink():
            (root / name).symlink_to(here.readlink())
        elif here.is_dir() and name not in _OWN:
            (root / name).mkdir()
            _mount("-o", "rbind,ro", here, root / name)
    for name in _OWN:
        (root / name).mkdir()
    _mount("--bind", host / "sys", root / "sys")
    _mount("--bind", etc, root / "etc")
    _mount("-t", "proc", "proc", root / "proc")
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _mount("--bind", Path("/dev", name), root / "dev" / name)
    (root / "dev/vfio").mkdir()
    _mount("--bind", host / "dev/vfio", root / "dev/vfio")


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=20)


def run(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return run_module(name, **arguments)


def hold(path: str, guest: str) -> int:
    """Starts a process that has the file open, and looks like QEMU with this guest."""
    command = ["qemu-system-x86_64", "-c", _HOLDER, path, "-name", f"guest={guest},debug-threads=on"]
    holder = subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.read(1), f"{path} could not be opened"
    _holders.append(holder)
    return holder.pid


def let_go() -> None:
    while _holders:
        holder = _holders.pop()
        holder.kill()
        holder.wait(20)


def peak_memory() -> int:
    """VmHWM of proc_pid_status(5), which counts anew after a 5 to clear_refs."""
    status = Path("/proc/self/status").read_text().splitlines()
    Path("/proc/self/clear_refs").write_text("5")
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def empty_run() -> None:
    """What is in /run does not outlast a boot."""
    for one in Path("/run").iterdir():
        shutil.rmtree(one)


def start_defined(seconds: float) -> dict[str, Any]:
    """What vfio-mdev.service runs at boot. Its exit code, and what it says."""
    said, failed = io.StringIO(), io.StringIO()
    program = importlib.import_module("ansible_collections.vfio.mdev.plugins.module_utils._boot.start_devices")
    with mock.patch("sys.argv", ["vfio-mdev", "--wait", str(seconds)]), redirect_stdout(said), redirect_stderr(failed):
        code = program.main()
    return {"code": code, "said": said.getvalue(), "failed": failed.getvalue()}


_ORDERS: dict[str, Callable[..., Any]] = {
    "module": run,
    "hold": hold,
    "let_go": let_go,
    "peak_memory": peak_memory,
    "empty_run": empty_run,
    "start_defined": start_defined,
}


def orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def serve() -> None:
    """One answer to each order, on what was the standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for order in orders():
        try:
            answer = {"result": _ORDERS[order.pop("what")](**order)}
        # Whatever goes wrong in a module is what the tests want to see.
        except BaseException:
            answer = {"problem": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    host, etc, root = (Path(one) for one in sys.argv[1:])
    collection.register()
    make_root(host, etc, root)
    os.chroot(root)
    os.chdir("/")
    serve()


if __name__ == "__main__":
    main()
