# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PCI function in sysfs. Source: kernel Documentation/ABI/testing/sysfs-bus-pci."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.kit.nodes import Nodes, below, line_file, link


@dataclass(frozen=True)
class Function:
    """A PCI function, behind a bridge or on the root bus, with its virtual functions or its physical function."""

    address: str
    vendor: str
    product: str
    bridge: str | None = None
    pci_class: str = "0x030200"
    numa_node: int = -1
    driver: str | None = None
    physical: str | None = None
    virtual: Sequence[str] = ()
    total_virtual: int = 0

    @property
    def place(self) -> str:
        """Its path below /sys/devices."""
        above = f"{self.bridge}/" if self.bridge else ""
        return f"pci{(self.bridge or self.address)[:7]}/{above}{self.address}"

    def nodes(self) -> Nodes:
        folder = f"sys/devices/{self.place}"
        nodes = {
            **below(
                folder,
                {
                    "vendor": line_file(self.vendor),
                    "device": line_file(self.product),
                    "class": line_file(self.pci_class),
                    "numa_node": line_file(self.numa_node),
                },
            ),
            **link(f"sys/bus/pci/devices/{self.address}", folder),
            **link(f"{folder}/subsystem", "sys/bus/pci"),
        }
        if self.driver is not None:
            nodes.update(link(f"{folder}/driver", f"sys/bus/pci/drivers/{self.driver}"))
        if self.physical is not None:
            nodes.update(link(f"{folder}/physfn", f"{folder.rpartition('/')[0]}/{self.physical}"))
        if self.total_virtual:
            nodes[f"{folder}/sriov_totalvfs"] = line_file(self.total_virtual)
            nodes[f"{folder}/sriov_numvfs"] = line_file(len(self.virtual))
        for number, address in enumerate(self.virtual):
            nodes.update(link(f"{folder}/virtfn{number}", f"{folder.rpartition('/')[0]}/{address}"))
        return nodes
