# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node device XML of parents and devices, as libvirt writes it.

Source: libvirt's src/conf/node_device_conf.c (virNodeDeviceDefFormat) and its test data
(tests/nodedevschemadata: ap_matrix_mdev_types.xml, css_0_0_fffe_mdev_types.xml, pci_0000_02_10_7_mdev_types.xml). For a
PCI function libvirt also writes class, groups, NUMA node and link speed, which are left out here; the rest must be in
libvirt's order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Union

import pytest
from lxml import etree

from drivers import gvt_g, nvidia
from drivers.kit.host_files import Driver
from drivers.kit.isolated_host import Boot
from drivers.nvidia_sriov import Card
from drivers.vfio_ap import Adapters
from drivers.vfio_ccw import Subchannel

UUID = "11111111-2222-3333-4444-555555555555"

# An element: its name with its attributes, and its text or its child elements.
Element = tuple[str, Union[str, list["Element"]]]


def types(*elements: list[Element]) -> Element:
    return ("capability type=mdev_types", [(f"type id={element[0][1]}", element[1:]) for element in elements])


def mdev_type(type_id: str, name: str | None, api: str, left: int) -> list[Element]:
    """A type: its id, then its child elements."""
    named: list[Element] = [("name", name)] if name is not None else []
    return [("id", type_id), *named, ("deviceAPI", api), ("availableInstances", str(left))]


def pci(bus: int, slot: int, function: int, product: str, vendor: str, offer: Element) -> Element:
    numbers = {"domain": 0, "bus": bus, "slot": slot, "function": function}
    address: list[Element] = [(name, str(number)) for name, number in numbers.items()]
    return ("capability type=pci", [*address, (f"product id={product}", []), (f"vendor id={vendor}", []), offer])


PARENTS: dict[str, tuple[Driver, list[Element]]] = {
    "ap_matrix": (
        Adapters(),
        [
            ("name", "ap_matrix"),
            ("path", "/sys/devices/vfio_ap/matrix"),
            ("parent", "computer"),
            ("driver", [("name", "vfio_ap")]),
            (
                "capability type=ap_matrix",
                [types(mdev_type("vfio_ap-passthrough", "VFIO AP Passthrough Device", "vfio-ap", 65536))],
            ),
        ],
    ),
    "css_0_0_fffe": (
        Subchannel("0.0.fffe"),
        [
            ("name", "css_0_0_fffe"),
            ("path", "/sys/devices/css0/0.0.fffe"),
            ("parent", "computer"),
            ("driver", [("name", "vfio_ccw")]),
            (
                "capability type=css",
                [
                    ("cssid", "0x0"),
                    ("ssid", "0x0"),
                    ("devno", "0xfffe"),
                    types(mdev_type("vfio_ccw-io", "I/O subchannel (Non-QDIO)", "vfio-ccw", 1)),
                ],
            ),
        ],
    ),
    "pci_0000_00_02_0": (
        gvt_g.Gpu(),
        [
            ("name", "pci_0000_00_02_0"),
            ("path", "/sys/devices/pci0000:00/0000:00:02.0"),
            ("parent", "computer"),
            ("driver", [("name", "i915")]),
            pci(0, 2, 0, "0x5912", "0x8086", types(
                mdev_type("i915-GVTg_V5_1", None, "vfio-pci", 1),
                mdev_type("i915-GVTg_V5_2", None, "vfio-pci", 2),
                mdev_type("i915-GVTg_V5_4", None, "vfio-pci", 5),
                mdev_type("i915-GVTg_V5_8", None, "vfio-pci", 7),
            )),
        ],
    ),
    "pci_0000_3b_00_0": (
        nvidia.t4(),
        [
            ("name", "pci_0000_3b_00_0"),
            ("path", "/sys/devices/pci0000:40/0000:40:01.1/0000:3b:00.0"),
            ("parent", "pci_0000_40_01_1"),
            ("driver", [("name", "nvidia")]),
            pci(0x3B, 0, 0, "0x1eb8", "0x10de", types(
                mdev_type("nvidia-227", "GRID T4-4A", "vfio-pci", 4),
                mdev_type("nvidia-231", "GRID T4-2Q", "vfio-pci", 8),
                mdev_type("nvidia-232", "GRID T4-4Q", "vfio-pci", 4),
            )),
        ],
    ),
    "pci_0000_41_00_4": (
        Card("0000:41:00", 1),
        [
            ("name", "pci_0000_41_00_4"),
            ("path", "/sys/devices/pci0000:40/0000:40:01.1/0000:41:00.4"),
            ("parent", "pci_0000_40_01_1"),
            ("driver", [("name", "nvidia")]),
            pci(0x41, 0, 4, "0x20f1", "0x10de", types(
                mdev_type("nvidia-471", "NVIDIA A100-8C", "vfio-pci", 1),
                mdev_type("nvidia-472", "NVIDIA A100-10C", "vfio-pci", 1),
                mdev_type("nvidia-474", "NVIDIA A100-40C", "vfio-pci", 1),
            )),
        ],
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def schema(libvirt_schemas: Path) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(libvirt_schemas / "nodedev.rng"))


def structure(element: etree._Element) -> Element:
    """An element in the notation of the tables above."""
    name = " ".join([str(element.tag), *("=".join(map(str, attribute)) for attribute in element.attrib.items())])
    inner = [structure(child) for child in element]
    return (name, inner if inner or not (element.text or "").strip() else str(element.text))


@pytest.mark.parametrize(("driver", "expected"), PARENTS.values(), ids=PARENTS)
def test_parents(boot: Boot, schema: etree.RelaxNG, driver: Driver, expected: list[Element]) -> None:
    [parent] = boot(driver).info(xml=True)["parents"]
    root = etree.fromstring(parent["xml"])
    assert structure(root) == ("device", expected)
    assert schema.validate(root), schema.error_log
    assert parent["nodedev"] == root.findtext("name")


# A device on each parent: type, attributes, and its parent, node device, driver and path.
DEVICES = {
    "ap_matrix": (
        Adapters(),
        "vfio_ap-passthrough",
        [("assign_adapter", "5"), ("assign_domain", "4"), ("assign_control_domain", "4")],
        ("matrix", "ap_matrix", "vfio_ap_mdev", "/sys/devices/vfio_ap/matrix"),
    ),
    "css": (
        Subchannel("0.0.0052"),
        "vfio_ccw-io",
        [],
        ("0.0.0052", "css_0_0_0052", "vfio_ccw_mdev", "/sys/devices/css0/0.0.0052"),
    ),
    "pci": (
        Card("0000:41:00", 1),
        "nvidia-471",
        [("nvidia/vgpu_params", "frame_rate_limiter=0")],
        (
            "0000:41:00.4",
            "pci_0000_41_00_4",
            "nvidia-vgpu-vfio",
            "/sys/devices/pci0000:40/0000:40:01.1/0000:41:00.4",
        ),
    ),
}


@pytest.mark.parametrize(("driver", "type_id", "attributes", "names"), DEVICES.values(), ids=DEVICES)
def test_devices(
    boot: Boot,
    schema: etree.RelaxNG,
    driver: Driver,
    type_id: str,
    attributes: list[tuple[str, str]],
    names: tuple[str, str, str, str],
) -> None:
    parent, nodedev, mdev_driver, path = names
    host = boot(driver)
    requested = [{"name": name, "value": value} for name, value in attributes]
    host.device(uuid=UUID, type=type_id, attributes=requested, persistent=True)
    [device] = host.info(xml=True)["devices"]
    root = etree.fromstring(device["xml"])
    suffix = parent.replace(":", "_").replace(".", "_")
    group = str(device["iommu_group"])
    expected: list[Element] = [
        ("name", f"mdev_{UUID.replace('-', '_')}_{suffix}"),
        ("path", f"{path}/{UUID}"),
        ("parent", nodedev),
        ("driver", [("name", mdev_driver)]),
        (
            "capability type=mdev",
            [
                (f"type id={type_id}", []),
                ("uuid", UUID),
                ("parent_addr", parent),
                (f"iommuGroup number={group}", []),
                *((f"attr name={name} value={value}", []) for name, value in attributes),
            ],
        ),
    ]
    assert structure(root) == ("device", expected)
    assert schema.validate(root), schema.error_log
    # On a host that has neither the device nor its definition, this XML requests both.
    host.files.boot(driver)
    host.definition(parent, UUID).unlink()
    created = host.device(xml=device["xml"], persistent=True)
    assert created["changed"], created
    assert host.info(xml=True)["devices"] == [device]
