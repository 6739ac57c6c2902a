# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derived UUIDs and their owners."""

from __future__ import annotations

import uuid as uuidlib
from dataclasses import replace
from typing import Optional

import pytest
from builders import UUID, define, inventory, mdev_type, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model import identity
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput, NotFound
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Inventory
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import (
    DeviceRequest,
    checked_name,
    checked_parents,
)
from ansible_collections.vfio.mdev.plugins.module_utils._planning.matching import identity_key

HOST = "0123456789abcdef0123456789abcdef"


def test_a_derived_uuid_never_changes() -> None:
    # These UUIDs are in users' guests: a change here changes every derived device.
    assert identity.derived_uuid("0123456789abcdef0123456789abcdef", "", ("name", "web-1")) == DERIVED_WEB_1
    assert identity.derived_uuid("", "", ("name", "web-1")) == DERIVED_WEB_1_GLOBAL


DERIVED_WEB_1 = "257cd83c-2c1b-8dc1-871f-263d1ab13031"
DERIVED_WEB_1_GLOBAL = "f556d1d2-0255-8dc1-871f-263d1ab13031"


@given(st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=3), st.integers(0, 1000))
def test_derived_uuids_are_version_8(host: str, owner: str, device: list[str], index: int) -> None:
    uuid = uuidlib.UUID(identity.derived_uuid(host, owner, tuple(device), index))
    assert (uuid.version, uuid.variant) == (8, uuidlib.RFC_4122)


def test_a_derived_uuid_shows_its_owner() -> None:
    own = {identity.derived_uuid("host", "tenant-a", ("name", str(n)))[:13] for n in range(20)}
    other = {
        identity.derived_uuid("host", "tenant-b", ("name", "1"))[:13],
        identity.derived_uuid("other", "tenant-a", ("name", "1"))[:13],
        identity.derived_uuid("hosttenant-a", "", ("name", "1"))[:13],
    }
    assert len(own) == 1
    assert len(other) == 3
    assert not own & other


@pytest.mark.parametrize(
    ("device", "other"),
    [
        (("a", "bc"), ("ab", "c")),
        (("name", "mtty-1"), ("request", "mtty-1")),
        (("request", "a", ""), ("request", "", "a")),
    ],
)
def test_different_requests_get_different_uuids(device: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert identity.derived_uuid("h", "s", device) != identity.derived_uuid("h", "s", other)


def test_the_index_distinguishes_the_devices_of_an_entry() -> None:
    assert len({identity.derived_uuid("h", "s", ("name", "x"), index) for index in range(100)}) == 100


NVIDIA = inventory(parent("0000:41:00.4", mdev_type("nvidia-471", 1, "NVIDIA A100-8C")))


def derived(
    name: Optional[str],
    mdev_type: Optional[str],
    parent: Optional[str],
    host: str = HOST,
    inventory: Inventory = NVIDIA,
) -> str:
    request = DeviceRequest(
        name=checked_name(name), type=mdev_type, parents=checked_parents([parent] if parent is not None else [])
    )
    return identity.UuidNamespace(host).uuid(identity_key(request, inventory))


def test_the_same_request_gets_the_same_uuid_for_any_spelling_of_the_parent() -> None:
    written = ("0000:41:00.4", "41:00.4", "pci_0000_41_00_4", "00000000:41:00.4")
    assert len({derived(None, "t-1", parent) for parent in written}) == 1


def test_a_type_is_the_same_request_by_id_and_by_name() -> None:
    assert derived(None, "NVIDIA A100-8C", "41:00.4") == derived(None, "nvidia-471", "0000:41:00.4")
    assert derived(None, "NVIDIA A100-8C", None) == derived(None, "nvidia-471", None)
    assert derived(None, "nvidia-471", None) != derived(None, "nvidia-471", "41:00.4")


def test_an_id_finds_its_device_while_the_parent_is_missing() -> None:
    assert derived(None, "nvidia-471", "41:00.4", inventory=inventory()) == derived(None, "nvidia-471", "41:00.4")


def test_a_name_that_no_parent_explains_is_not_taken_for_nothing_to_remove() -> None:
    gone = inventory(definitions=(define(UUID, "0000:41:00.4", "nvidia-471"),))
    absent = DeviceRequest(active=False, type="NVIDIA A100-8C", parents=("0000:41:00.4",))
    with pytest.raises(NotFound, match=r"parents that are missing: 0000:41:00\.4.*Give the type's id"):
        identity_key(absent, gone)
    assert identity_key(replace(absent, type="nvidia-471"), gone) == ("request", "nvidia-471", "0000:41:00.4")


def test_other_requests_get_other_uuids() -> None:
    uuids = [
        derived("web-1", "t-1", None),
        derived("web-2", "t-1", None),
        derived("web-1", "t-1", None, host=""),
        derived(None, "t-1", None),
        derived(None, "t-2", None),
        derived(None, "t-1", "41:00.4"),
    ]
    assert len(set(uuids)) == len(uuids)


def test_a_name_alone_determines_the_uuid() -> None:
    """So that 'state: absent' with the name finds the device without knowing type and parent."""
    assert derived("web-1", "t-1", "41:00.4") == derived("web-1", None, None)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="name is empty"):
        derived(" ", "t-1", None)


@pytest.mark.parametrize(
    ("host", "name", "owned"),
    [(HOST, "tenant-a", True), (HOST, "tenant-b", False), (HOST, "", False), ("", "tenant-a", False)],
)
def test_an_owner_recognizes_its_devices_by_their_uuid(host: str, name: str, owned: bool) -> None:
    uuid = identity.UuidNamespace(host, name).uuid(("name", "web-1"), 7)
    assert identity.UuidNamespace(HOST, "tenant-a").owns(uuid) == owned


def test_a_uuid_of_another_version_has_no_owner() -> None:
    """The same 48 bits can also occur by chance or be chosen by a user."""
    uuid = identity.UuidNamespace(HOST, "tenant-a").uuid(("name", "web-1"))
    assert not identity.UuidNamespace(HOST, "tenant-a").owns(uuid[:14] + "4" + uuid[15:])
