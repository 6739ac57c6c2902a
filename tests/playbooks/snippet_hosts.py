# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that fit the snippets of the documentation, and what the snippets leave to their readers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drivers.gvt_g import Gpu
from drivers.kit.host_files import Driver
from drivers.kit.isolated_host import IsolatedHost
from drivers.kit.kernel import Kernel
from drivers.kit.nodes import Node, Nodes
from drivers.kit.pci import Function
from drivers.nvidia_card import A100, A100_MIG, L40S, VgpuType
from drivers.nvidia_modes import Card, Cards
from drivers.samples import mtty
from drivers.vfio_ap import Adapters
from drivers.vfio_ccw import Subchannel
from stand_in_fleet import domain

NAMES = ("gpu-1", "gpu-2", "gpu-7")

_MORE_A100 = (VgpuType(468, "NVIDIA A100-4C", 4096, 10), VgpuType(473, "NVIDIA A100-20C", 20480, 2))
_A100_TYPES = (*_MORE_A100, *A100, *A100_MIG)
_L40S_TYPES = (*L40S, VgpuType(1152, "NVIDIA L40S-8Q", 8192, 6))
# Card and NUMA node.
_CARDS = {"0000:41:00": 0, "0000:65:00": 1, "0000:c1:00": 1}
_FUNCTIONS = 6
_SUBCHANNELS = ("0.0.0052", "0.0.0313")

# What snippets say that are for cards whose functions are not enabled, and for hosts with vendor VFIO.
_BARE = re.compile(r"mdev_vfs|provision_cards|\bcards:")
_VENDOR_VFIO = re.compile(r"L40S|'11\d\d'")
_GUESTS = re.compile(r"guest|migrat|drain|find_|virsh")

_WEB_1 = "6c1d8a3e-0a55-4f0e-a3c3-7b1f9d2e4c10"
# Guests of gpu-1: their UUIDs and devices.
GUESTS = {
    "web-1": (_WEB_1, "5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10"),
    "web-2": ("22222222-5555-4666-8777-888888888888", "22222222-1111-4111-8111-111111111111"),
    "web": ("33333333-5555-4666-8777-888888888888", "33333333-1111-4111-8111-111111111111"),
}
_ON_GPU_7 = {"db": ("44444444-5555-4666-8777-888888888888", "44444444-1111-4111-8111-111111111111")}

_SYSTEMCTL = """#!/bin/sh
wants=/etc/systemd/system/multi-user.target.wants
case "$1" in
enable) shift; mkdir -p $wants; for unit; do ln -sf "/etc/systemd/system/$unit" "$wants/$unit"; done ;;
disable) shift; for unit; do rm -f "$wants/$unit"; done ;;
show) printf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\nType=oneshot\\nRemainAfterExit=yes\\n' ;;
esac
"""
_PROGRAMS = {
    "systemctl": _SYSTEMCTL,
    "modprobe": "#!/bin/sh\n",
    "virt-xml": "#!/bin/sh\n",
    "pvesh": "#!/bin/sh\n",
    "dpkg-query": "#!/bin/sh\nprintf 'installed\\ninstalled\\n'\n",
}
# Folders that the owner of the host made.
_FOLDERS = ("nova/nova-compute.conf.d", "modules-load.d")

# Variables that a reader has, by the names that snippets use.
_GUEST = {"name": "web-1", "uuid": _WEB_1, "destination": "gpu-2", "running": True, "has_devices": True}
_XML = {
    "xml": f"/fleet/gpu-1/{_WEB_1}",
    "persistent_xml": f"/fleet/gpu-1/{_WEB_1}",
    "desturi": "qemu+ssh://gpu-2/system",
}
VARIABLES: dict[str, Any] = {
    "outgoing_guests": [{**_GUEST, **_XML}],
    "ansible_local": {"vfio_mdev": {"framework": "mdev", "types": ["nvidia-471"], "type_names": ["NVIDIA A100-8C"]}},
    "plan": "{{ {'gpu-2': destination} | vfio.mdev.plan_moves(source.guests) }}",
    "now_on_gpu_7": {"guests": []},
    "migrated": {"guests": [{**_GUEST, "outcome": "migrated", "downtime": 80, "message": ""}]},
}


class PlainCard:
    """A card with SR-IOV of another vendor: a write to sriov_numvfs creates functions, which are no parents."""

    def __init__(self, address: str) -> None:
        self._address = address

    def plug(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._enabled = 0

    def _write(self, text: str) -> None:
        self._enabled = int(text)
        self._kernel.changed()

    def nodes(self) -> Nodes:
        functions = [f"{self._address[:-2]}.{number}" for number in range(1, 1 + self._enabled)]
        facts = {"vendor": "0x1002", "product": "0x7410", "driver": "gim"}
        card = Function(self._address, virtual=functions, total_virtual=7, **facts)
        nodes = card.nodes()
        numvfs = f"sys/devices/{card.place}/sriov_numvfs"
        nodes[numvfs] = Node(read=nodes[numvfs].read, write=self._write)
        for function in functions:
            nodes.update(Function(function, physical=self._address, **facts).nodes())
        return nodes


class Together:
    """The hardware of one host."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self._drivers = drivers

    def plug(self, kernel: Kernel) -> None:
        for driver in self._drivers:
            driver.plug(kernel)

    def nodes(self) -> Nodes:
        return {path: node for driver in self._drivers for path, node in driver.nodes().items()}


class NvidiaHost(Together):
    """Cards with NVIDIA's tools, which are below /usr on the host. enabled: whether functions are enabled."""

    def __init__(self, tools: Path, vendor_vfio: bool, enabled: bool, more: Sequence[Driver] = ()) -> None:
        self.cards = [self._card(address, numa_node, vendor_vfio) for address, numa_node in _CARDS.items()]
        # Scripts call a file of the host, whose only file systems of ours are sysfs and /dev/vfio.
        super().__init__([Cards(Path("/sys"), tools, *self.cards), *more])
        self._enabled = enabled

    def _card(self, address: str, numa_node: int, vendor_vfio: bool) -> Card:
        if vendor_vfio:
            return Card(address, _FUNCTIONS, "vendor_vfio", _L40S_TYPES, "0x26b9", numa_node)
        return Card(address, _FUNCTIONS, types=_A100_TYPES, numa_node=numa_node)

    def plug(self, kernel: Kernel) -> None:
        super().plug(kernel)
        for card in self.cards if self._enabled else ():
            card.sriov_manage("-e")

    def nodes(self) -> Nodes:
        nodes = super().nodes()
        nodes["sys/stand-in/call"] = nodes.pop("stand-in/call")
        return nodes


def hardware(text: str, tools: Path) -> NvidiaHost:
    """The hardware that the text is about. A host has all kinds of parents that can be on one host."""
    vendor_vfio, bare = bool(_VENDOR_VFIO.search(text)), bool(_BARE.search(text))
    others: list[Driver] = [
        PlainCard("0000:81:00.0"),
        mtty(),
        Gpu(named=True),
        Adapters(),
        *map(Subchannel, _SUBCHANNELS),
    ]
    return NvidiaHost(tools, vendor_vfio, not bare, [] if vendor_vfio else others)


def needs_guests(text: str) -> bool:
    """Whether the text is about guests, on hosts where their devices are mediated devices."""
    return bool(_GUESTS.search(text)) and not _VENDOR_VFIO.search(text)


def furnish(name: str, host: IsolatedHost, virsh: Path) -> None:
    """Programs and folders of a host, which a reset removes."""
    programs = host.etc / "programs"
    shutil.copy(virsh, programs / "virsh")
    (host.etc / "fleet-name").write_text(name)
    (host.etc / "os-release").write_text('ID=debian\nVERSION_ID="13"\nNAME="Debian GNU/Linux"\n')
    for program, text in _PROGRAMS.items():
        (programs / program).write_text(text)
        (programs / program).chmod(0o755)
    for folder in _FOLDERS:
        (host.etc / folder).mkdir(parents=True)


def place_guests(card_of: Callable[[str], Card], add_guest: Callable[[str, str, str, str], None]) -> None:
    """Guests that run on gpu-1 and gpu-7, each with a vGPU."""
    for host, guests in (("gpu-1", GUESTS), ("gpu-7", _ON_GPU_7)):
        for function, (name, (uuid, device)) in zip(card_of(host).functions, guests.items(), strict=False):
            function.add("nvidia-471", device)
            add_guest(host, name, uuid, device)


# Examples that have to work on a host on which nothing was installed.
FIRST_STEPS = {
    "Create a vGPU for guest web-1 on the first card that has room",
    "Create eight vGPUs over all cards, and a big one for guest render-1",
}

_SOURCE = ("Retrieve the guests and their devices from the source",)
_ANSWER = (*_SOURCE, "Check whether this host could take the guests")
_PREPARED = (*_SOURCE, "Prepare the devices of guests on the destination")
_ARRIVED = (
    *_PREPARED,
    "Write the XML of these guests on the source",
    "Migrate a guest whose devices are prepared on gpu-2",
)
_BOOT = ("Let the host start its devices at boot, once before the first device is created",)
# Snippets that need others to have run on the same hosts, by their titles.
AFTER = {
    **dict.fromkeys(FIRST_STEPS, _BOOT),
    "Clear the vGPU type of this virtual function": (
        "Set a vGPU type on a virtual function under NVIDIA's vendor VFIO framework",
    ),
    "Prepare the devices of guests on the destination": _SOURCE,
    "Write the XML of these guests on the source": _PREPARED,
    "Migrate a guest whose devices are prepared on gpu-2": _ARRIVED[:-1],
    "Commit a migration after the guest has moved, and start its devices at boot": _ARRIVED,
    "Commit a migration and remove unused devices, with a longer lock timeout for both modules": _ARRIVED,
    "Roll back the preparation for all guests of a host that were not committed": _PREPARED,
    "Check which of the guests each host could take": _SOURCE,
    "Show where each guest is": _ANSWER,
    "Show the hosts that could take the guests, and why the others could not": _ANSWER,
    "Write a table of the types on all hosts": ("Retrieve the mediated devices of all hosts",),
}

# Tasks that run on another host than gpu-2, by patterns of their names and texts.
ON = {
    r"mdev_guest_info\.py|mdev_guest_migrate\.py|domain_mdevs\.py": "gpu-1",
    r"virsh (dumpxml|attach-device)": "gpu-1",
    r"mdev_guest_xml\.py: (Write the XML of a guest|Remove)": "gpu-1",
}

# Why snippets are not run, by patterns of their names and texts.
NOT_RUN = {
    r"backend: libvirt": "libvirt-python comes from the distribution: the lab's hosts run this backend",
    r"backend: mdevctl": "mdevctl comes from the distribution: the lab's hosts run this backend",
    r"Assert that the host has the configuration": "it fails by design on hosts without the devices",
    r"kubernetes\.core\.k8s": "it needs a cluster",
}

_DOMAIN = domain("web-3", "66666666-5555-4666-8777-888888888888", "5b2c8a34-11c0-8a2f-9a0e-0d4c3c1f7e10")
# Files of the reader, in the folder of the playbook.
FILES = {
    "web-3.xml": _DOMAIN,
    "web-3.persistent.xml": _DOMAIN,
    "my_role/meta/argument_specs.yml": "argument_specs: {main: {options: {my_role_size: {type: int}}}}\n",
}
