# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab host as a virtual machine: booted once, then restored from its snapshot."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import cache, qemu, ssh
from lab.accel import BOOT_MARKER, Accelerator
from lab.errors import LabError
from lab.image import Image
from lab.ports import Ports
from lab.process import output, tail
from lab.progress import stage
from lab.suites import HostName

# A boot takes 20 to 60 s on two emulated hosts; several at once on a loaded machine take longer.
BOOT_DEADLINE = 400.0
_ANSWER_DEADLINE = 60.0

_SETTLE = r"""
set -eu
state=$(timeout 300 systemctl is-system-running --wait || true)
[ "$state" = running ] || systemctl --failed --no-legend
udevadm settle --timeout=60
for driver in mtty mdpy mbochs; do test -d /sys/class/mdev_bus/$driver; done
"""
# The kernel finds the card behind the only port.
_SEE_CARD = "timeout 60 sh -c 'until test -e /sys/bus/pci/devices/0000:01:00.0/driver; do sleep 0.2; done'"
# Query QEMU's capabilities once: libvirt caches them, and the first guest starts sooner.
_WARM = "timeout 120 virsh -c qemu:///system domcapabilities --virttype qemu --machine q35 >/dev/null; sync"


@dataclass(frozen=True)
class Machine:
    """A host with everything that its start needs."""

    name: HostName
    image: Image
    accelerator: Accelerator
    ports: Ports

    @property
    def ssh_port(self) -> int:
        return self.ports.ssh[self.name.letter]

    @property
    def files(self) -> qemu.Files:
        return qemu.Files(cache.host_folder(self.name))

    @property
    def wiring(self) -> qemu.Wiring:
        return qemu.Wiring(
            disk=self._snapshot_folder / "disk.qcow2",
            files=self.files,
            ssh_port=self.ssh_port,
            lan_port=self.ports.lan[self.name.letter],
            peer_lan_port=self.ports.lan[self.name.peer.letter],
        )

    @property
    def _snapshot_folder(self) -> Path:
        snapshot_key = qemu.key(self.name, self.image, self.accelerator)
        return self.image.folder / f"{self.name.letter}-{snapshot_key}"

    @property
    def _ready_mark(self) -> Path:
        """Written last: a disk without this file has no reliable snapshot."""
        return self._snapshot_folder / "ready"

    def is_running(self) -> bool:
        """Whether the host runs, with the current image and machine."""
        return qemu.has_open(self.files, self.wiring.disk)

    def is_saved(self) -> bool:
        return self._ready_mark.exists()

    def start(self) -> None:
        """Start from the snapshot. If there is none, boot first and save one."""
        if self.is_saved():
            self._start(load=True)
            return
        self._boot()

    def answer(self, peer_is_up: bool) -> None:
        """Check that ssh works, set the clock, and reach the peer on the shared network if it is up."""
        see_peer = (
            f"timeout 20 bash -c 'until : < /dev/tcp/{self.name.peer.lan_address}/22; do sleep 0.1; done' 2>/dev/null"
            if peer_is_up
            else ":"
        )
        end = time.monotonic() + _ANSWER_DEADLINE
        while True:
            script = f"date --utc --set=@{time.time():.2f} >/dev/null; {see_peer}"
            done = self.run(script, timeout=_ANSWER_DEADLINE)
            # Only ssh itself uses this code: it could not connect, or not yet.
            if done.returncode != ssh.FAILED or time.monotonic() > end or not self.is_running():
                break
            time.sleep(0.2)
        if done.returncode != 0:
            raise LabError(
                f"{self.name} answers, but setting its clock and reaching {self.name.peer} at "
                f"{self.name.peer.lan_address} failed with exit code {done.returncode}: {done.stderr.strip()}"
            )

    def run(self, command: str | Sequence[str], timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command as root and capture its output. Any exit code is accepted.

        A string is a line for the shell; a sequence is a command and its arguments, passed literally.
        Raises LabError after ``timeout`` seconds.
        """
        return ssh.run(self.ssh_port, self.image.ssh_key, shell_line(command), timeout)

    def plug_card(self) -> None:
        """Add a card with SR-IOV to the running host. Returns when its driver is bound."""
        qemu.plug_card(self.files)
        done = self.run(_SEE_CARD, timeout=90)
        if done.returncode != 0:
            raise LabError(f"{self.name} has a new card with SR-IOV, but no driver binds to it: {done.stderr.strip()}")

    def end(self) -> None:
        qemu.end(self.files)

    def reboot(self) -> None:
        """Reboot the host. Returns when systemd has finished the boot. Raises LabError after BOOT_DEADLINE."""
        console_size = self.files.console.stat().st_size
        end = time.monotonic() + BOOT_DEADLINE
        with stage(f"{self.name}: rebooting"):
            self.run("systemctl reboot", timeout=60)
            # Watch the console, because an ssh connection to a host that shuts down hangs until its timeout.
            while BOOT_MARKER not in self.files.console.read_bytes()[console_size:]:
                if time.monotonic() > end:
                    raise LabError(f"{self.name} did not reboot in {BOOT_DEADLINE:.0f} s\n{tail(self.files.console)}")
                time.sleep(0.2)
            ssh.wait_for_banner(self.ssh_port, end - time.monotonic(), self.is_running)
            self._settle()

    def _start(self, load: bool) -> None:
        command = qemu.command(self.name, self.image, self.accelerator, self.wiring)
        qemu.start(command, self.files, load)

    def _boot(self) -> None:
        cache.remove_tree(self._snapshot_folder)
        self._snapshot_folder.mkdir()
        overlay: list[str | Path] = ["-f", "qcow2", "-b", "../disk.raw", "-F", "raw", self.wiring.disk]
        output(["qemu-img", "create", "-q", *overlay], deadline=60)
        try:
            with stage(f"{self.name}: booting"):
                self._start(load=False)
                ssh.wait_for_banner(self.ssh_port, BOOT_DEADLINE, self.is_running)
            with stage(f"{self.name}: waiting until all its services are up"):
                self._settle()
                self.run(_WARM, timeout=150)
        except LabError as error:
            self.end()
            raise LabError(f"{self.name} did not boot: {error}\n{tail(self.files.console)}") from error
        with stage(f"{self.name}: saving the snapshot"):
            qemu.save(self.files)
        self._ready_mark.write_text(json.dumps({"saved": time.time()}))

    def _settle(self) -> None:
        done = self.run(_SETTLE, timeout=BOOT_DEADLINE)
        if done.returncode != 0:
            raise LabError(f"{self.name} booted with errors: {done.stdout.strip()} {done.stderr.strip()}")


def shell_line(command: str | Sequence[str]) -> str:
    """The line for the remote shell."""
    return command if isinstance(command, str) else shlex.join(command)
