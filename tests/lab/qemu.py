# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A QEMU process: its command line, start and end."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.accel import Accelerator, qemu_version
from lab.errors import LabError
from lab.image import Image
from lab.process import tail
from lab.qmp import connect
from lab.suites import HostName

MEMORY_MIB = 1280
PROCESSORS = 2
SNAPSHOT = "ready"
CONTROL_MAC = "52:54:00:99:00:01"
# Loading a snapshot takes about a second, and longer on a busy machine.
_START_DEADLINE = 90.0
_MONITOR_DEADLINE = 60.0
_END_DEADLINE = 10.0

# A card with SR-IOV for a running machine: QEMU's NVMe controller, which snapshots cannot include.
# It needs two queues and an interrupt vector for each virtual function.
_CARD_PORT = "port1"
_CARD_SUBSYSTEM = "nvme-subsys"
_CARD: dict[str, str | int] = {
    "driver": "nvme",
    "id": "card",
    "serial": "card",
    "bus": _CARD_PORT,
    "subsys": _CARD_SUBSYSTEM,
    "sriov_max_vfs": 4,
    "sriov_vq_flexible": 8,
    "sriov_vi_flexible": 4,
}


@dataclass(frozen=True)
class Files:
    """The files of a running QEMU. They belong to the host and do not depend on its image."""

    folder: Path

    @property
    def monitor(self) -> Path:
        return self.folder / "qmp.sock"

    @property
    def pid_file(self) -> Path:
        return self.folder / "qemu.pid"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


@dataclass(frozen=True)
class Wiring:
    """Settings that may differ between two starts of a machine: the paths of its disk and files, and its ports."""

    disk: Path
    files: Files
    ssh_port: int
    lan_port: int
    peer_lan_port: int


# Guests of a lab host are emulated. With KVM, each of libvirt's probes makes the kernel patch its own scheduler, and
# emulated processors may hit a half patched instruction: "Oops: int3" in __schedule, then a panic (observed on 6.12).
_NO_MODULES = ("kvm", "kvm_amd", "kvm_intel")
# For the same reason: the first guest with a cpuset, and the end of the last one, make the kernel patch its allocator
# (observed: "Oops: int3" in get_page_from_freelist).
_NO_CGROUPS = ("cpuset",)
_ANY_WIRING = Wiring(Path("disk"), Files(Path("folder")), 1, 2, 3)


def command(host: HostName, image: Image, accelerator: Accelerator, wiring: Wiring) -> list[str]:
    """The command line of a host's machine."""
    append = (
        "root=/dev/vda rw console=ttyS0 quiet loglevel=4 mitigations=off net.ifnames=0 "
        f"lab.hostname={host.letter} lab.machine_id={host.machine_id} module_blacklist={','.join(_NO_MODULES)} "
        f"cgroup_disable={','.join(_NO_CGROUPS)}"
    )
    lan = f"socket,id=lan,udp=127.0.0.1:{wiring.peer_lan_port},localaddr=127.0.0.1:{wiring.lan_port}"
    return [
        "qemu-system-x86_64",
        *("-name", f"vfio-mdev-lab-{host}"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-daemonize"),
        *("-machine", "q35", "-accel", accelerator.accel, "-cpu", accelerator.cpu),
        *("-m", str(MEMORY_MIB), "-smp", str(PROCESSORS), "-rtc", "base=utc"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", append),
        *("-drive", f"file={wiring.disk},if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk"),
        # A restored host must not repeat the random numbers of the host restored before it.
        *("-device", "virtio-rng-pci", "-device", "vmgenid,guid=auto"),
        *("-netdev", f"user,id=control,restrict=on,hostfwd=tcp:127.0.0.1:{wiring.ssh_port}-:22"),
        *("-device", f"virtio-net-pci,netdev=control,mac={CONTROL_MAC},romfile="),
        *("-netdev", lan),
        *("-device", f"virtio-net-pci,netdev=lan,mac={host.lan_mac},romfile="),
        *("-device", f"pcie-root-port,id={_CARD_PORT},chassis=1", "-device", f"nvme-subsys,id={_CARD_SUBSYSTEM}"),
        *("-chardev", f"file,id=console,path={wiring.files.console},append=on", "-serial", "chardev:console"),
        # Relative to the folder in which QEMU is started: the path of a socket is limited to 107 characters.
        *("-qmp", f"unix:{wiring.files.monitor.name},server=on,wait=off"),
        *("-pidfile", str(wiring.files.pid_file)),
    ]


def key(host: HostName, image: Image, accelerator: Accelerator) -> str:
    """The key of a booted snapshot, which works only with the same QEMU and the same machine."""
    parts = [qemu_version(), *command(host, image, accelerator, _ANY_WIRING)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def start(arguments: list[str], files: Files, load: bool) -> int:
    """Start QEMU, from the snapshot if ``load``. Returns its pid when the machine runs."""
    files.folder.mkdir(parents=True, exist_ok=True)
    files.console.write_bytes(b"")
    files.monitor.unlink(missing_ok=True)
    log = files.folder / "qemu.log"
    snapshot = ["-loadvm", SNAPSHOT] if load else []
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [*arguments, *snapshot],
                cwd=files.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=_START_DEADLINE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            end(files)
            raise LabError(f"QEMU did not start within {_START_DEADLINE:.0f} s.\n{tail(log)}") from None
    if done.returncode != 0:
        raise LabError(f"QEMU ended with exit code {done.returncode} instead of starting.\n{tail(log)}")
    pid = running(files)
    if pid is None:
        raise LabError(f"QEMU started and ended at once.\n{tail(log)}\n{tail(files.console)}")
    return pid


def running(files: Files) -> int | None:
    """The pid of the machine's QEMU, or None."""
    process = _find_process(files)
    return process[0] if process else None


def has_open(files: Files, disk: Path) -> bool:
    """Whether the machine's QEMU runs and was started on this disk."""
    process = _find_process(files)
    return process is not None and any(argument.startswith(f"file={disk},") for argument in process[1])


def _find_process(files: Files) -> tuple[int, list[str]] | None:
    """Pid and command line. Ignores a recorded pid that now belongs to another process."""
    try:
        pid = int(files.pid_file.read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return (pid, arguments) if str(files.pid_file) in arguments else None


def save(files: Files) -> None:
    """Save memory and disk of the machine as the snapshot."""
    with connect(files.monitor, _MONITOR_DEADLINE) as monitor:
        complaint = monitor.human(f"savevm {SNAPSHOT}")
    if complaint:
        raise LabError(f"QEMU could not save the snapshot: {complaint}")


def plug_card(files: Files) -> None:
    """Add a card with SR-IOV to the machine. It survives reboots; restoring the snapshot removes it."""
    with connect(files.monitor, _MONITOR_DEADLINE) as monitor:
        monitor.execute("device_add", **_CARD)


def end(files: Files) -> None:
    """End the machine's QEMU: by its monitor, then by signals to its recorded pid. Does nothing if none runs."""
    for stop in (_quit, _terminate, _kill):
        pid = running(files)
        if pid is None:
            break
        stop(files, pid)
        _wait_for_end(files)
    if running(files) is not None:
        raise LabError(f"QEMU with pid {running(files)} did not end, not even by SIGKILL; see `ps` for its state.")
    files.pid_file.unlink(missing_ok=True)
    files.monitor.unlink(missing_ok=True)


def _quit(files: Files, _pid: int) -> None:
    try:
        with connect(files.monitor, _END_DEADLINE) as monitor:
            monitor.execute("quit")
    except (OSError, LabError):
        # The signals follow.
        return


def _terminate(_files: Files, pid: int) -> None:
    _signal(pid, signal.SIGTERM)


def _kill(_files: Files, pid: int) -> None:
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_for_end(files: Files) -> None:
    end_time = time.monotonic() + _END_DEADLINE
    while running(files) is not None and time.monotonic() < end_time:
        time.sleep(0.05)
