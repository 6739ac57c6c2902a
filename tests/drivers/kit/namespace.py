# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine of its own for the modules: they run at the real paths, and nothing of the tester's machine is changed.

In namespaces of its own (mounts, processes), below a root of its own, :mod:`drivers.kit.inside` takes orders as lines
of JSON. It is started once and then serves many tests, since that costs more than most of them.
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

from drivers.kit.host import MACHINE_ID

_TESTS = Path(__file__).parents[2]
_VIRSH = Path(__file__).with_name("virsh")

# So long may a module take on a busy tester's machine.
ANSWER_SECONDS = 30.0
_END_SECONDS = 30.0

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")

# Without it nothing would start devices at boot, and the modules would say so.
_STARTER = "systemd/system/multi-user.target.wants/vfio-mdev.service"

# What programs need to start, and to know who they are.
_FROM_TESTER = ("ld.so.cache", "passwd", "group")

# Programs of the machine's own, before those of the tester's.
_PROGRAMS = "/etc/programs"


class Stuck(AssertionError):
    """What was ordered did not end in time."""


class Namespace:
    """The machine. host: where the host's file systems are mounted; scratch: a folder for what is the machine's own."""

    def __init__(self, host: Path, scratch: Path) -> None:
        self.etc = scratch / "etc"
        root = scratch / "root"
        root.mkdir()
        self._fill()
        self._process = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-m", "drivers.kit.inside", str(host), str(self.etc), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_TESTS), "PATH": f"{_PROGRAMS}:{os.environ['PATH']}"},
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run_module(self, module_name: str, /, **arguments: Any) -> dict[str, Any]:
        """The result that the module prints."""
        result: dict[str, Any] = self._order("module", name=module_name, arguments=arguments)
        return result

    def hold(self, path: str, guest: str) -> int:
        """Lets a process open a file and keep it open, as QEMU does for this guest. Its process id in the machine."""
        pid: int = self._order("hold", path=path, guest=guest)
        return pid

    def let_go(self) -> None:
        """Ends all such processes."""
        self._order("let_go")

    def peak_memory(self) -> int:
        """The most memory that the modules' process had, in KiB, since this was last asked."""
        kibibytes: int = self._order("peak_memory")
        return kibibytes

    def empty_run(self) -> None:
        """As a boot does."""
        self._order("empty_run")

    def start_defined(self, seconds: float) -> dict[str, Any]:
        """Runs what vfio-mdev.service runs at boot. Its exit code, what it said, and what it said of failures."""
        result: dict[str, Any] = self._order("start_defined", seconds=seconds)
        return result

    def reset(self) -> None:
        """Whatever a test has left goes."""
        self.let_go()
        self.empty_run()
        for one in self.etc.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        self._fill()

    def stop(self) -> None:
        """unshare takes all processes of the machine with it."""
        self._process.kill()
        self._process.communicate(timeout=_END_SECONDS)

    def _fill(self) -> None:
        starter = self.etc / _STARTER
        starter.parent.mkdir(parents=True)
        starter.touch()
        (self.etc / "mdevctl.d").mkdir()
        (self.etc / "guests").mkdir()
        programs = self.etc / Path(_PROGRAMS).name
        programs.mkdir()
        shutil.copy(_VIRSH, programs / "virsh")
        (self.etc / "machine-id").write_text(f"{MACHINE_ID}\n")
        for name in _FROM_TESTER:
            shutil.copy(Path("/etc", name), self.etc)

    def _order(self, what: str, /, **details: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"what": what, **details}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        if "problem" in answer:
            raise AssertionError(f"{what} {details} ended with\n{answer['problem']}")
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
                raise AssertionError("the machine went away")
            line += part
        return line
