# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of parents, names of node devices, and UUIDs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model import addresses
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("0000:41:00.4", "0000:41:00.4"),
        ("41:00.4", "0000:41:00.4"),
        ("00000000:41:00.0", "0000:41:00.0"),
        ("0000:AF:1F.7", "0000:af:1f.7"),
        ("pci_0000_41_00_4", "0000:41:00.4"),
        ("PCI_0000_AF_00_4", "0000:af:00.4"),
        ("10000:01:00.0", "10000:01:00.0"),
        (" 41:00.4 ", "0000:41:00.4"),
        ("0.0.0052", "0.0.0052"),
        ("0.0.00aB", "0.0.00ab"),
        ("css_0_0_0052", "0.0.0052"),
        ("matrix", "matrix"),
        ("ap_matrix", "matrix"),
        ("mtty", "mtty"),
        ("mtty_mtty", "mtty_mtty"),
        # Neither slot 0x20 nor function 8 exists, so these are names and not addresses.
        ("0000:41:20.0", "0000:41:20.0"),
        ("0000:41:00.8", "0000:41:00.8"),
    ],
)
def test_canonical_parent(written: str, address: str) -> None:
    assert addresses.canonical_parent(written) == address


@pytest.mark.parametrize("bad", ["", " ", ".", "..", "../mtty", "/sys/class/mdev_bus/mtty"])
def test_invalid_names_of_a_parent(bad: str) -> None:
    with pytest.raises(InvalidInput, match="is not a valid parent name"):
        addresses.canonical_parent(bad)


@pytest.mark.parametrize(
    ("subsystem", "name", "nodedev"),
    [
        ("pci", "0000:41:00.4", "pci_0000_41_00_4"),
        ("css", "0.0.0052", "css_0_0_0052"),
        ("mtty", "mtty", "mtty_mtty"),
        ("matrix", "matrix", "ap_matrix"),
        ("vfio_ap", "matrix", "ap_matrix"),
    ],
)
def test_parent_nodedev(subsystem: str, name: str, nodedev: str) -> None:
    assert addresses.parent_nodedev(subsystem, name) == nodedev


def test_device_nodedev() -> None:
    name = addresses.device_nodedev("5b2c8a34-11c0-4a2f-9a0e-0d4c3c1f7e10", "0000:41:00.4")
    assert name == "mdev_5b2c8a34_11c0_4a2f_9a0e_0d4c3c1f7e10_0000_41_00_4"


def test_uuid_in_any_case() -> None:
    assert addresses.parse_uuid(" ABCDABCD-2222-3333-4444-55555555ABCD\n") == "abcdabcd-2222-3333-4444-55555555abcd"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "xyz",
        # The kernel reads 36 characters and ignores the rest, which would be a different device than requested.
        "11111111-2222-3333-4444-5555555555556",
        "11111111222233334444555555555555",
        "{11111111-2222-3333-4444-555555555555}",
        "g1111111-2222-3333-4444-555555555555",
        "1111111-12222-3333-4444-555555555555",
    ],
)
def test_invalid_uuids(bad: str) -> None:
    with pytest.raises(InvalidInput):
        addresses.parse_uuid(bad)


def test_the_nil_uuid_identifies_what_exists() -> None:
    assert addresses.parse_uuid(addresses.NIL_UUID) == addresses.NIL_UUID


def test_addresses_sort_by_number() -> None:
    unsorted = [
        "mtty10",
        "mtty9",
        "0000:10:00.0",
        "0000:9f:00.0",
        "0.0.0100",
        "0000:09:1f.0",
        "0000:09:02.0",
        "0.0.0052",
    ]
    assert sorted(unsorted, key=addresses.address_key) == [
        "0000:09:02.0",
        "0000:09:1f.0",
        "0000:10:00.0",
        "0000:9f:00.0",
        "0.0.0052",
        "0.0.0100",
        "mtty9",
        "mtty10",
    ]


@given(st.integers(0, 0xFFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))
def test_every_pci_address_survives_a_round_trip_through_its_node_device_name(
    domain: int, bus: int, slot: int, function: int
) -> None:
    address = f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"
    assert addresses.pci_address(addresses.parent_nodedev("pci", address)) == address
    assert addresses.pci_address(address.upper()) == address


@pytest.mark.parametrize(
    ("number", "address"),
    [("2460.4", "0000:41:00.4"), ("2460.0", "0000:41:00.0"), (" 2475.7 ", "0000:41:15.7"), ("6060.4", "0001:41:00.4")],
)
def test_a_number_is_an_address_without_quotes(number: str, address: str) -> None:
    with pytest.raises(InvalidInput, match=f"YAML makes of {address} without quotes: quote it"):
        addresses.canonical_parent(number)
