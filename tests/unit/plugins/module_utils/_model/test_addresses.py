# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import uuid as uuidlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model import addresses, identity
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput


@pytest.mark.parametrize(
    ("asked", "address"),
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
        # Neither slot 0x20 nor function 8 exists: not an address, so a name.
        ("0000:41:20.0", "0000:41:20.0"),
        ("0000:41:00.8", "0000:41:00.8"),
    ],
)
def test_canonical_parent(asked: str, address: str) -> None:
    assert addresses.canonical_parent(asked) == address


@pytest.mark.parametrize("bad", ["", " ", ".", "..", "../mtty", "/sys/class/mdev_bus/mtty"])
def test_what_cannot_name_a_parent(bad: str) -> None:
    with pytest.raises(InvalidInput, match="can't name a parent"):
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
        # The kernel reads 36 characters and ignores the rest: that would be another device than asked for.
        "11111111-2222-3333-4444-5555555555556",
        "11111111222233334444555555555555",
        "{11111111-2222-3333-4444-555555555555}",
        "g1111111-2222-3333-4444-555555555555",
        "1111111-12222-3333-4444-555555555555",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_bad_uuids(bad: str) -> None:
    with pytest.raises(InvalidInput):
        addresses.parse_uuid(bad)


def test_addresses_sort_by_number() -> None:
    asked = ["mtty10", "mtty9", "0000:10:00.0", "0000:9f:00.0", "0.0.0100", "0000:09:1f.0", "0000:09:02.0", "0.0.0052"]
    assert sorted(asked, key=addresses.address_key) == [
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
def test_every_pci_address_survives_its_node_device_name(domain: int, bus: int, slot: int, function: int) -> None:
    address = f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"
    assert addresses.pci_address(addresses.parent_nodedev("pci", address)) == address
    assert addresses.pci_address(address.upper()) == address


def test_a_derived_uuid_never_changes() -> None:
    # These are in users' guests. A change here is a change of every derived device in the field.
    assert identity.derived_uuid("0123456789abcdef0123456789abcdef", "", ("name", "web-1")) == DERIVED_WEB_1
    assert identity.derived_uuid("", "", ("name", "web-1")) == DERIVED_WEB_1_GLOBAL


DERIVED_WEB_1 = "257cd83c-2c1b-8dc1-871f-263d1ab13031"
DERIVED_WEB_1_GLOBAL = "f556d1d2-0255-8dc1-871f-263d1ab13031"


@given(st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=3), st.integers(0, 1000))
def test_derived_uuids_are_version_8(host: str, owner: str, device: list[str], index: int) -> None:
    made = uuidlib.UUID(identity.derived_uuid(host, owner, tuple(device), index))
    assert (made.version, made.variant) == (8, uuidlib.RFC_4122)


def test_the_owner_can_be_read_from_a_derived_uuid() -> None:
    mine = {identity.derived_uuid("host", "tenant-a", ("name", str(n)))[:13] for n in range(20)}
    other = {
        identity.derived_uuid("host", "tenant-b", ("name", "1"))[:13],
        identity.derived_uuid("other", "tenant-a", ("name", "1"))[:13],
        identity.derived_uuid("hosttenant-a", "", ("name", "1"))[:13],
    }
    assert len(mine) == 1
    assert len(other) == 3
    assert not mine & other


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (("a", "bc"), ("ab", "c")),
        (("name", "mtty-1"), ("request", "mtty-1")),
        (("request", "a", ""), ("request", "", "a")),
    ],
)
def test_different_requests_get_different_uuids(one: tuple[str, ...], another: tuple[str, ...]) -> None:
    assert identity.derived_uuid("h", "s", one) != identity.derived_uuid("h", "s", another)


def test_the_index_tells_devices_of_one_entry_apart() -> None:
    assert len({identity.derived_uuid("h", "s", ("name", "x"), index) for index in range(100)}) == 100
