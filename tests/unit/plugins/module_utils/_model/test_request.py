# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Optional

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._model import identity, request
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute

HOST = "0123456789abcdef0123456789abcdef"


def test_attributes_keep_their_order_and_may_repeat_a_name() -> None:
    pairs = [("assign_domain", "4"), ("assign_adapter", "5"), ("assign_adapter", "6")]
    assert request.checked_attributes(pairs) == tuple(Attribute(*pair) for pair in pairs)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("", "1")], "can't name an attribute"),
        ([("../mtty-2/create", "1")], "can't name an attribute"),
        ([("/etc/passwd", "1")], "can't name an attribute"),
        ([("a//b", "1")], "can't name an attribute"),
        ([("remove", "1")], "can't name an attribute"),
        ([("driver/unbind", "1")], "can't name an attribute"),
        ([("mdev_type/create", "1")], "can't name an attribute"),
        ([("a", "1\n2")], "must be one line"),
        ([("a", "1\0")], "must be one line"),
        ([("a", "1"), ("b", "1"), ("a", "1")], "'a' is given twice"),
    ],
)
def test_bad_attributes(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        request.checked_attributes(pairs)


def test_candidates_are_taken_once() -> None:
    assert request.checked_parents(["41:00.4", "0000:41:00.4", "pci_0000_41_00_5"]) == ("0000:41:00.4", "0000:41:00.5")


def derived(name: Optional[str], type_asked: Optional[str], parent: Optional[str], host: str = HOST) -> str:
    return identity.Owner(host).uuid(identity.derived_from(name, type_asked, parent))


def test_the_same_request_gets_the_same_uuid_however_the_parent_is_written() -> None:
    written = ("0000:41:00.4", "41:00.4", "pci_0000_41_00_4", "00000000:41:00.4")
    assert len({derived(None, "t-1", parent) for parent in written}) == 1


def test_other_requests_get_other_uuids() -> None:
    asked = [
        derived("web-1", "t-1", None),
        derived("web-2", "t-1", None),
        derived("web-1", "t-1", None, host=""),
        derived(None, "t-1", None),
        derived(None, "t-2", None),
        derived(None, "t-1", "41:00.4"),
    ]
    assert len(set(asked)) == len(asked)


def test_a_name_alone_makes_the_uuid() -> None:
    """So that 'state: absent' with the name finds the device without knowing type and parent."""
    assert derived("web-1", "t-1", "41:00.4") == derived("web-1", None, None)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="name is empty"):
        derived(" ", "t-1", None)


@pytest.mark.parametrize(
    ("host", "name", "mine"),
    [(HOST, "tenant-a", True), (HOST, "tenant-b", False), (HOST, "", False), ("", "tenant-a", False)],
)
def test_whose_a_device_is_can_be_read_from_its_uuid(host: str, name: str, mine: bool) -> None:
    uuid = identity.Owner(host, name).uuid(("name", "web-1"), 7)
    assert identity.Owner(HOST, "tenant-a").owns(uuid) == mine


def test_a_uuid_of_another_version_is_nobodys() -> None:
    """The same 48 bits by chance, or chosen by somebody."""
    uuid = identity.Owner(HOST, "tenant-a").uuid(("name", "web-1"))
    assert not identity.Owner(HOST, "tenant-a").owns(uuid[:14] + "4" + uuid[15:])
