# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the namespace, as :mod:`drivers.kit.inside`, and runs modules with a hook in a process of their own."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import signal
import stat
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from drivers.kit import inside
from module_arguments import patch_module_args

from faults.hook import Disturbance, Hook

_COLLECTION = "ansible_collections.vfio.mdev.plugins"
_MODULES = (
    *("mdev_boot", "mdev_device", "mdev_guest_info", "mdev_guest_xml"),
    *("mdev_info", "mdev_migration", "mdev_set", "mdev_vfs"),
)
# The folders that modules write to in the namespace.
_OWN = ("/run", "/var/lib")
_WRITTEN = ("/etc", *_OWN)
_SHOWN_BYTES = 2000
_LINGER_SECONDS = 20.0
_ready = False


def attempt(module_name: str, arguments: dict[str, Any], disturbance: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Run a module, or a program of the boot, in a new process."""
    return attempts([{"module_name": module_name, "arguments": arguments}], disturbance, seconds)[0]


def attempts(runs: list[dict[str, Any]], disturbance: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
    """Run modules at once, each in a new process. The answers are in the order of the runs."""
    _prepare()
    started = [_start(run["module_name"], run["arguments"], Disturbance(**disturbance)) for run in runs]
    end = time.monotonic() + seconds
    return [_finish(*process, end) for process in started]


def _prepare() -> None:
    """Import all that modules need once, not in each process."""
    global _ready
    if not _ready:
        for name in _MODULES:
            importlib.import_module(f"{_COLLECTION}.modules.{name}")
        core = importlib.import_module(f"{_COLLECTION}.module_utils._model.errors").__file__
        folder = Path(str(core)).parents[1]
        _import_all(str(folder), f"{_COLLECTION}.module_utils")
        _ready = True


def _import_all(folder: str, package: str) -> None:
    for path in sorted(Path(folder).rglob("_*/**/*.py")):
        if path.name != "__init__.py":
            importlib.import_module(".".join((package, *path.relative_to(folder).with_suffix("").parts)))


def _start(module_name: str, arguments: dict[str, Any], disturbance: Disturbance) -> tuple[int, int, int]:
    answer, output = os.memfd_create("answer"), os.memfd_create("output")
    pid = os.fork()
    if pid == 0:
        _child(answer, output, module_name, arguments, disturbance)
    return pid, answer, output


def _child(answer: int, output: int, module_name: str, arguments: dict[str, Any], disturbance: Disturbance) -> None:
    """The life of the process. The answer is written at its end, so a killed one leaves none."""
    problem, code = None, 0
    os.setpgid(0, 0)
    hook = Hook(disturbance)
    _exit, _write = os._exit, os.write
    child = os.getpid()
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdin = open("/dev/null")  # noqa: SIM115 stays open
        sys.stdout = sys.stderr = os.fdopen(os.dup(1), "w", buffering=1)
        try:
            code = _run(module_name, arguments, hook)
        except SystemExit as ended:
            code = int(bool(ended.code))
        except BaseException:
            problem = traceback.format_exc()
        sys.stdout.flush()
    except BaseException:
        problem = traceback.format_exc()
    finally:
        if os.getpid() == child:
            text = json.dumps(
                {"code": code, "problem": problem, "count": hook.count, "names": hook.names, "trace": hook.trace}
            )
            _write(answer, text.encode())
        _exit(0)


def _run(module_name: str, arguments: dict[str, Any], hook: Hook) -> int:
    if module_name == "start_devices":
        program = importlib.import_module(f"{_COLLECTION}.module_utils._boot.start_devices")
        sys.argv = ["vfio-mdev", *arguments["argv"]]
        hook.install()
        return int(program.main())
    module = importlib.import_module(f"{_COLLECTION}.modules.{module_name}")
    modes = {"_ansible_check_mode": False, "_ansible_diff": False}
    with patch_module_args({**arguments, **modes}):
        hook.install()
        module.main()
    return 0


def _finish(pid: int, answer: int, output: int, end: float) -> dict[str, Any]:
    status = _ended(pid, end)
    hung = status is None
    if status is None:
        os.killpg(pid, signal.SIGKILL)
        status = _ended(pid, time.monotonic() + 10)
    os.lseek(answer, 0, os.SEEK_SET)
    os.lseek(output, 0, os.SEEK_SET)
    with os.fdopen(answer, "rb") as file:
        said = json.loads(file.read() or "{}")
    with os.fdopen(output, "rb") as file:
        text = file.read().decode("utf-8", "surrogateescape")
    result = _result(text)
    killed = status is not None and os.WIFSIGNALED(status)
    return {"killed": killed, "hung": hung, "result": result, "output": text[-8000:], **said}


def _result(text: str) -> dict[str, Any] | None:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                result: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            result.pop("invocation", None)
            return result
    return None


def _ended(pid: int, end: float) -> int | None:
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    return None


def tree() -> dict[str, Any]:
    """All files in the folders that modules write to: their mode and content."""
    return {path: _shown(path) for folder in _WRITTEN for path in _below(folder)}


def _below(folder: str) -> list[str]:
    return [os.path.join(path, name) for path, folders, names in os.walk(folder) for name in (*folders, *names)]


def _shown(path: str) -> list[str]:
    status = os.lstat(path)
    mode = stat.filemode(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return [mode, os.readlink(path)]
    if not stat.S_ISREG(status.st_mode):
        return [mode, ""]
    data = Path(path).read_bytes()
    return [mode, data.decode("utf-8", "replace") if len(data) < _SHOWN_BYTES else hashlib.sha256(data).hexdigest()]


def lingering() -> list[str]:
    """Processes that are still there although the runs that started them have ended."""
    end = time.monotonic() + _LINGER_SECONDS
    while (left := _others()) and time.monotonic() < end:
        time.sleep(0.005)
    for pid in left:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue
    return left


def _others() -> list[str]:
    own = {str(os.getpid()), *(str(holder.pid) for holder in inside._holders)}
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and pid not in own and not _reaped(pid)]


def _reaped(pid: str) -> bool:
    """Orphans become children of this process, the first of its namespace."""
    try:
        return os.waitpid(int(pid), os.WNOHANG)[0] != 0
    except ChildProcessError:
        return not os.path.exists(f"/proc/{pid}")


def clear() -> None:
    """Empty the folders that modules write to, except those that the tester's side fills."""
    inside.release_all()
    for folder in _OWN:
        for path in Path(folder).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def main() -> None:
    inside._COMMANDS.update(
        {"attempt": attempt, "attempts": attempts, "tree": tree, "lingering": lingering, "clear": clear}
    )
    host, etc, root = (Path(argument) for argument in sys.argv[1:4])
    inside.make_root(host, etc, root)
    # A file system of its own: power cuts are judged by the paths that modules use.
    (root / "var").unlink()
    (root / "var/lib").mkdir(parents=True)
    inside._mount("-t", "tmpfs", "tmpfs", root / "var/lib")
    # Temporary files are seen there. A checkout below /tmp must stay visible.
    os.environ["TMPDIR"] = "/run"
    os.chroot(root)
    os.chdir("/")
    inside.serve()


if __name__ == "__main__":
    main()
