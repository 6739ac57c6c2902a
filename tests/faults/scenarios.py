# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the campaign disturbs: each kind of change that the collection makes, on hosts that also hold foreign things."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from drivers import nvidia_sriov, nvidia_vendor_vfio
from drivers.kit.host_files import Driver
from drivers.nvidia import t4

from faults.bench import Bench, Run, Scenario
from faults.sriov import SriovCard

A, B, C = (f"{digit * 8}-2222-3333-4444-555555555555" for digit in "123")
FOREIGN = "ffffffff-2222-3333-4444-555555555555"
# Of the stand-in for an A100 card and for an L40S card.
SMALL, LARGE, VGPU = "nvidia-472", "nvidia-474", "1148"
CARD, VGPU_CARD = "0000:41:00", "0000:51:00"
FOREIGN_FUNCTION = f"{VGPU_CARD}.7"
# A lock that is always busy, as EAGAIN says, is no hang.
_SHORT = {"lock_timeout": 2}
LIMITER = [{"name": "nvidia/vgpu_params", "value": "frame_rate_limiter=0"}]


def _a100s() -> Sequence[Driver]:
    return [nvidia_sriov.Card(CARD, 4), t4()]


def _l40s() -> Sequence[Driver]:
    return [nvidia_vendor_vfio.Card(VGPU_CARD, 4)]


def _foreign(bench: Bench) -> None:
    """A device and a definition of somebody else, and files that somebody keeps beside definitions."""
    folder = bench.etc / "mdevctl.d" / "0000:3b:00.0"
    folder.mkdir(parents=True)
    (folder / FOREIGN).write_text(json.dumps({"mdev_type": "nvidia-231", "start": "auto", "attrs": []}))
    (folder / "foreign-notes.txt").write_text("by hand")
    parent = bench.files.drivers[-1]
    parent.add("nvidia-231", FOREIGN)  # type: ignore[attr-defined]


def _foreign_vgpu(bench: Bench) -> None:
    bench.files.drivers[0].functions[3].set_by_hand(int(VGPU))  # type: ignore[attr-defined]


def _vgpus(bench: Bench) -> dict[str, Any]:
    card = bench.files.drivers[0]
    return {
        function.address: [function.type.number if function.type else 0, function._parameters.text]
        for function in card.functions  # type: ignore[attr-defined]
    }


def _then(*steps: Callable[[Bench], object]) -> Callable[[Bench], None]:
    def prepare(bench: Bench) -> None:
        for step in steps:
            step(bench)

    return prepare


def _set(*devices: dict[str, Any], **arguments: Any) -> Run:
    return Run("mdev_set", {"name": "tenant-a", "devices": list(devices), **_SHORT, **arguments})


def _ran(run: Run) -> Callable[[Bench], object]:
    return lambda bench: bench._module(run.module_name, **run.arguments)


THREE = _set({"type": SMALL, "count": 3, "attributes": LIMITER})
ONE = _set({"type": SMALL, "count": 1, "attributes": LIMITER}, purge="owned")
FOREIGN_WORDS = (FOREIGN, "foreign")
VGPUS = _set({"type": VGPU, "count": 3, "attributes": LIMITER})
DEVICE = Run("mdev_device", {"uuid": A, "parent": f"{CARD}.4", "type": SMALL, "attributes": LIMITER, **_SHORT})
OTHER_TYPE = Run("mdev_device", {**DEVICE.arguments, "type": LARGE, "recreate": True})


def _hostdev(uuid: str) -> str:
    return f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{uuid}'/></source></hostdev>"


GUEST_UUID = "99999999-2222-3333-4444-555555555555"
GUEST_XML = (
    f"<domain type='kvm'><name>web</name><uuid>{GUEST_UUID}</uuid><devices>{_hostdev(A)}{_hostdev(B)}"
    "<graphics type='vnc' passwd='s3cret'/></devices></domain>"
)
GUEST = {
    "name": "web",
    "uuid": GUEST_UUID,
    "running": False,
    "devices": [
        {"uuid": uuid, "type": SMALL, "type_name": "NVIDIA A100-10C", "device_api": "vfio-pci", "attributes": LIMITER}
        for uuid in (A, B)
    ],
}
_MIGRATION = {"source": "gpu-1", "driver_match": "ignore", "wait_timeout": 0, **_SHORT}
PREPARE = Run("mdev_migration", {**_MIGRATION, "guests": [GUEST]})
COMMIT = Run("mdev_migration", {**_MIGRATION, "state": "committed", "persistent": True})
ROLL_BACK = Run("mdev_migration", {**_MIGRATION, "state": "rolled_back"})


def _arrive(bench: Bench) -> None:
    bench.add_guest("web", GUEST_XML)


def _boot(**arguments: Any) -> Run:
    return Run("mdev_boot", {"program_path": "/etc/lib/vfio-mdev", "python": "/usr/bin/python3", **_SHORT, **arguments})


def _no_starter(bench: Bench) -> None:
    (bench.etc / "systemd/system/multi-user.target.wants/vfio-mdev.service").unlink()


def _defined(bench: Bench) -> None:
    """Definitions of three devices that are not active, as after a boot."""
    _ran(THREE)(bench)
    bench.files.boot(*bench.files.drivers)
    bench.files.drivers[-1].add("nvidia-231", FOREIGN)  # type: ignore[attr-defined]


def _defined_vgpus(bench: Bench) -> None:
    _ran(VGPUS)(bench)
    bench.files.boot(*bench.files.drivers)
    bench._namespace._command("clear")
    _foreign_vgpu(bench)


START = Run("start_devices", {"argv": ["--wait", "0"]})
XML = {"guests": [{"name": "web", "uuid_map": {A: C, B: B}}]}


def _vfs(bench: Bench) -> dict[str, Any]:
    return {card.address: card.enabled for card in bench.files.drivers if isinstance(card, SriovCard)}


SCENARIOS = (
    Scenario("set", "set", _a100s, _foreign, THREE, foreign=FOREIGN_WORDS),
    Scenario("set of vGPUs", "set", _l40s, _foreign_vgpu, VGPUS, _vgpus, (FOREIGN_FUNCTION,)),
    Scenario("device", "device", _a100s, _foreign, DEVICE, foreign=FOREIGN_WORDS),
    Scenario(
        "device goes",
        "device",
        _a100s,
        _then(_foreign, _ran(DEVICE)),
        Run("mdev_device", {**DEVICE.arguments, "state": "absent"}),
        foreign=FOREIGN_WORDS,
    ),
    Scenario(
        "attribute",
        "device",
        _a100s,
        _then(_foreign, _ran(DEVICE)),
        Run("mdev_device", {**DEVICE.arguments, "attributes": [{**LIMITER[0], "value": "frame_rate_limiter=1"}]}),
        foreign=FOREIGN_WORDS,
    ),
    Scenario("recreate", "recreate", _a100s, _then(_foreign, _ran(DEVICE)), OTHER_TYPE, foreign=FOREIGN_WORDS),
    Scenario("purge", "purge", _a100s, _then(_foreign, _ran(THREE)), ONE, foreign=FOREIGN_WORDS),
    Scenario(
        "purge of vGPUs",
        "purge",
        _l40s,
        _then(_foreign_vgpu, _ran(VGPUS)),
        _set({"type": VGPU, "count": 1, "attributes": LIMITER}, purge="owned"),
        _vgpus,
        (FOREIGN_FUNCTION,),
    ),
    Scenario(
        "virtual functions",
        "vfs",
        lambda: [SriovCard("0000:61:00.0", 4), SriovCard("0000:71:00.0", 8, 8)],
        lambda bench: None,
        Run(
            "mdev_vfs",
            {
                "cards": [{"address": "0000:61:00.0", "num_vfs": "max"}, {"address": "0000:71:00.0", "num_vfs": "2"}],
                "wait_timeout": 5,
                **_SHORT,
            },
        ),
        _vfs,
    ),
    Scenario("boot install", "boot install", _a100s, _then(_foreign, _no_starter), _boot(), foreign=FOREIGN_WORDS),
    Scenario(
        "boot uninstall",
        "boot install",
        _a100s,
        _then(_foreign, _no_starter, _ran(_boot())),
        _boot(state="absent"),
        foreign=FOREIGN_WORDS,
    ),
    Scenario("boot program", "boot program", _a100s, _then(_foreign, _defined), START, foreign=FOREIGN_WORDS),
    Scenario("boot program, vGPUs", "boot program", _l40s, _defined_vgpus, START, _vgpus, (FOREIGN_FUNCTION,)),
    Scenario("prepare", "migration", _a100s, _foreign, PREPARE, foreign=FOREIGN_WORDS),
    Scenario("commit", "migration", _a100s, _then(_foreign, _ran(PREPARE), _arrive), COMMIT, foreign=FOREIGN_WORDS),
    Scenario("roll back", "migration", _a100s, _then(_foreign, _ran(PREPARE)), ROLL_BACK, foreign=FOREIGN_WORDS),
    Scenario(
        "guest XML", "guest XML", _a100s, _then(_foreign, _arrive), Run("mdev_guest_xml", XML), foreign=FOREIGN_WORDS
    ),
    Scenario(
        "guest XML goes",
        "guest XML",
        _a100s,
        _then(_foreign, _arrive, _ran(Run("mdev_guest_xml", XML))),
        Run("mdev_guest_xml", {**XML, "state": "absent"}),
        foreign=FOREIGN_WORDS,
    ),
)
