# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A namespace in which modules run at the real paths without changing the tester's machine.

In its own mount and process namespaces, below its own root, :mod:`drivers.kit.inside` reads commands as lines of JSON.
It starts once and then serves many tests, because starting it takes longer than most of them.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from drivers.kit.host_files import MACHINE_ID

_TESTS = Path(__file__).parents[2]
_VIRSH = Path(__file__).with_name("virsh")

# How long a module may take on a busy machine.
ANSWER_SECONDS = 30.0
_END_SECONDS = 30.0

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")

# Without it nothing would start devices at boot, and the modules would report that.
_STARTER = "systemd/system/multi-user.target.wants/vfio-mdev.service"

# Files that programs need to start, and to know their user.
_FROM_TESTER = ("ld.so.cache", "passwd", "group")

# The namespace's own programs, which come before those of the tester's machine.
_PROGRAMS = "/etc/programs"


class Stuck(AssertionError):
    """A command did not end in time."""


class Namespace:
    """The namespace.

    host: where the host's files are mounted; scratch: a folder for the namespace's own files; program: what runs in it;
    shared: a folder that several namespaces have as /fleet; more: a folder with more files of the host
    """

    def __init__(
        self,
        host: Path,
        scratch: Path,
        program: str = "drivers.kit.inside",
        shared: Path | None = None,
        more: Path | None = None,
    ) -> None:
        self.etc = scratch / "etc"
        root = scratch / "root"
        root.mkdir()
        self._fill()
        places = [host, self.etc, root, shared or "", more or ""]
        self._process = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-m", program, *map(str, places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_TESTS), "PATH": f"{_PROGRAMS}:{os.environ['PATH']}"},
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def inner_pid(self) -> int:
        """The id of the process in the namespace, as the tester's machine knows it."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    def run_module(self, module_name: str, /, **arguments: Any) -> dict[str, Any]:
        """Run a module. Returns the result that it prints."""
        result: dict[str, Any] = self._command("run", module_name=module_name, arguments=arguments)
        return result

    def hold_open(self, path: str, guest: str) -> int:
        """Let a process open a file and keep it open, as QEMU does for this guest. Returns its id in the namespace."""
        pid: int = self._command("hold_open", path=path, guest=guest)
        return pid

    def release_all(self) -> None:
        """End all such processes."""
        self._command("release_all")

    def peak_memory(self) -> int:
        """The peak memory of the modules' process since the last call, in KiB."""
        kibibytes: int = self._command("peak_memory")
        return kibibytes

    def empty_run(self) -> None:
        """Empty /run, as a boot does."""
        self._command("empty_run")

    def start_defined(self, seconds: float) -> dict[str, Any]:
        """Run the program that vfio-mdev.service runs at boot. Returns its exit code, output and errors."""
        result: dict[str, Any] = self._command("start_defined", seconds=seconds)
        return result

    def reset(self) -> None:
        """Remove everything that a test left behind."""
        self.release_all()
        self.empty_run()
        for path in self.etc.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._fill()

    def stop(self) -> None:
        """Killing unshare ends all processes of the namespace."""
        self._process.kill()
        self._process.communicate(timeout=_END_SECONDS)

    def _fill(self) -> None:
        starter = self.etc / _STARTER
        starter.parent.mkdir(parents=True)
        starter.touch()
        (self.etc / "mdevctl.d").mkdir()
        (self.etc / "guests").mkdir()
        (self.etc / "var").mkdir()
        programs = self.etc / Path(_PROGRAMS).name
        programs.mkdir()
        shutil.copy(_VIRSH, programs / "virsh")
        (self.etc / "machine-id").write_text(f"{MACHINE_ID}\n")
        for name in _FROM_TESTER:
            shutil.copy(Path("/etc", name), self.etc)

    def _command(self, name: str, /, **details: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": name, **details}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        if "problem" in answer:
            raise AssertionError(f"{name} {details} ended with\n{answer['problem']}")
        return answer["result"]

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        end, line = time.monotonic() + ANSWER_SECONDS, b""
        while not line.endswith(b"\n"):
            if not select.select([output], [], [], max(0.0, end - time.monotonic()))[0]:
                self.stop()
                raise Stuck(f"it took more than {ANSWER_SECONDS:g} s")
            part = os.read(output, 1 << 20)
            if not part:
                raise AssertionError("the namespace went away")
            line += part
        return line
