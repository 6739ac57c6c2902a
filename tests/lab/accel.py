# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the accelerator that really runs the lab's kernel on this machine.

An accessible /dev/kvm proves nothing: nested under some hypervisors it opens, but stock kernels crash on it. Therefore
the image's own kernel and initrd are booted with it, and only the line that our init prints counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.image import Image
from lab.process import end_group, output
from lab.progress import say, stage

# The line that our init writes to the console at each boot.
BOOT_MARKER = b"vfio-mdev-lab: init runs"
_DEADLINE = 15.0
_KVM = Path("/dev/kvm")


@dataclass(frozen=True)
class Accelerator:
    """QEMU's options for an accelerator and the matching processor model."""

    accel: str
    cpu: str


KVM = Accelerator("kvm", "host")
# Five-level page tables only make an emulated processor slower.
TCG = Accelerator("tcg,thread=multi", "max,la57=off")


def qemu_version() -> str:
    """The first line of QEMU's version text."""
    return output(["qemu-system-x86_64", "--version"], deadline=30).splitlines()[0]


def choose(image: Image) -> Accelerator:
    """The accelerator for this machine, probed once per image, QEMU and machine kernel."""
    record = image.folder / "accelerator.json"
    key = f"{qemu_version()} on {os.uname().release}, {_KVM}: {os.access(_KVM, os.R_OK | os.W_OK)}"
    if record.exists():
        remembered = json.loads(record.read_text())
        if remembered["key"] == key:
            return Accelerator(remembered["accel"], remembered["cpu"])
    chosen = KVM if os.access(_KVM, os.R_OK | os.W_OK) and _runs(image, KVM) else TCG
    say(f"accelerator: {chosen.accel}, processor {chosen.cpu}")
    written = record.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps({"key": key, "accel": chosen.accel, "cpu": chosen.cpu}))
    written.rename(record)
    return chosen


def _runs(image: Image, accelerator: Accelerator) -> bool:
    """Boot to our init, which powers off at once. Returns as soon as the marker appears or QEMU ends."""
    console = image.folder / f"probe-{os.getpid()}.console"
    console.write_bytes(b"")
    command = [
        "qemu-system-x86_64",
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", "q35", "-accel", accelerator.accel, "-cpu", accelerator.cpu, "-m", "512"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", "console=ttyS0 panic=-1 lab.probe"),
        *("-serial", f"file:{console}"),
    ]
    with stage(f"trying {accelerator.accel} with the lab's kernel"):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + _DEADLINE
            while time.monotonic() < end and process.poll() is None and BOOT_MARKER not in console.read_bytes():
                time.sleep(0.2)
            return BOOT_MARKER in console.read_bytes()
        finally:
            end_group(process)
            console.unlink()
