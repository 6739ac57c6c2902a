# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the namespace of :mod:`drivers.kit.namespace`: prepares its root, then executes commands."""

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

import conftest  # noqa: F401 pylint: disable=unused-import # registers the collection
from run_module import run_module

# Folders that the namespace does not share with the tester's machine.
_OWN = ("dev", "etc", "proc", "run", "sys")
# Folders of the tester's machine that a host may change for itself.
_WRITABLE = ("opt", "root", "srv", "usr")
_DEVICES = ("null", "zero", "random", "urandom")
# Opens a file, reports that, and keeps it open.
_HOLDER = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR); print(flush=True); time.sleep(600)"

_holders: list[subprocess.Popen[bytes]] = []


def make_root(host: Path, etc: Path, root: Path, shared: str = "", more: str = "") -> None:
    """Mount the tester's files read-only, the host's /sys and /dev/vfio, and the namespace's own /etc.

    more: a folder with files that the host has in addition to the tester's. With it, more of the host is writable
    """
    _mount("-t", "tmpfs", "tmpfs", root)
    # What the host keeps in /var is part of what a test leaves behind, as /etc is.
    (root / "var").symlink_to("etc/var")
    for name in sorted(set(os.listdir("/")) - {"var"}):
        source = Path("/", name)
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir() and name not in _OWN:
            (root / name).mkdir()
            _mount("-o", "rbind,ro", source, root / name)
    for name in _OWN:
        (root / name).mkdir()
    _mount("--bind", host / "sys", root / "sys")
    _mount("--bind", etc, root / "etc")
    _mount("-t", "proc", "proc", root / "proc")
    if shared:
        (root / "fleet").mkdir()
        _mount("--bind", shared, root / "fleet")
    if more:
        for name in _WRITABLE:
            _mount_writable(root, name, f"{more}/{name}:/{name}")
    # As in a container that manages its host.
    (root / "host").symlink_to("/")
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _mount("--bind", Path("/dev", name), root / "dev" / name)
    (root / "dev/vfio").mkdir()
    _mount("--bind", host / "dev/vfio", root / "dev/vfio")


def _mount_writable(root: Path, name: str, lower: str) -> None:
    """The tester's files, and changes to them that only the namespace sees."""
    upper, work = root / f".{name}-upper", root / f".{name}-work"
    upper.mkdir()
    work.mkdir()
    _mount("-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay", root / name)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=20)


def run(module_name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return run_module(module_name, **arguments)


def hold_open(path: str, guest: str) -> int:
    """Start a process that has the file open, and looks like QEMU with this guest."""
    command = ["qemu-system-x86_64", "-c", _HOLDER, path, "-name", f"guest={guest},debug-threads=on"]
    holder = subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.read(1), f"{path} could not be opened"
    _holders.append(holder)
    return holder.pid


def release_all() -> None:
    while _holders:
        holder = _holders.pop()
        holder.kill()
        holder.wait(20)


def peak_memory() -> int:
    """VmHWM of proc_pid_status(5), which restarts after a 5 is written to clear_refs."""
    status = Path("/proc/self/status").read_text().splitlines()
    Path("/proc/self/clear_refs").write_text("5")
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def empty_run() -> None:
    """Remove everything in /run, which does not survive a boot."""
    for path in Path("/run").iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def start_defined(seconds: float) -> dict[str, Any]:
    """Run the program that vfio-mdev.service runs at boot. Returns its exit code, output and errors."""
    output, errors = io.StringIO(), io.StringIO()
    program = importlib.import_module("ansible_collections.vfio.mdev.plugins.module_utils._boot.start_devices")
    with (
        mock.patch("sys.argv", ["vfio-mdev", "--wait", str(seconds)]),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        code = program.main()
    return {"code": code, "output": output.getvalue(), "errors": errors.getvalue()}


_COMMANDS: dict[str, Callable[..., Any]] = {
    "run": run,
    "hold_open": hold_open,
    "release_all": release_all,
    "peak_memory": peak_memory,
    "empty_run": empty_run,
    "start_defined": start_defined,
}


def commands() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def serve() -> None:
    """Answer each command with one line on the original standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for command in commands():
        try:
            answer = {"result": _COMMANDS[command.pop("command")](**command)}
        # Tests want to see whatever goes wrong in a module.
        except BaseException:
            answer = {"problem": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    host, etc, root = (Path(argument) for argument in sys.argv[1:4])
    make_root(host, etc, root, *sys.argv[4:])
    os.chroot(root)
    os.chdir("/")
    serve()


if __name__ == "__main__":
    main()
