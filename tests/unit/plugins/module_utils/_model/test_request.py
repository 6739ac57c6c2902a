# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of the attributes and parents of a request."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._model import request
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import NIL_UUID
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute


def test_attributes_keep_their_order_and_may_repeat_a_name() -> None:
    pairs = [("assign_domain", "4"), ("assign_adapter", "5"), ("assign_adapter", "6")]
    assert request.checked_attributes(pairs) == tuple(Attribute(*pair) for pair in pairs)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("", "1")], "is not a valid attribute name"),
        ([("../mtty-2/create", "1")], "is not a valid attribute name"),
        ([("/etc/passwd", "1")], "is not a valid attribute name"),
        ([("a//b", "1")], "is not a valid attribute name"),
        ([("remove", "1")], "is not a valid attribute name"),
        ([("driver/unbind", "1")], "is not a valid attribute name"),
        ([("mdev_type/create", "1")], "is not a valid attribute name"),
        ([("a\0b", "1")], r"'a\\x00b' is not a valid attribute name"),
        ([("a\ud800", "1")], "is not a valid attribute name"),
        ([("a", "\ud800")], "is not valid text"),
        ([("a", "1\n2")], "must be a single line"),
        ([("a", "1\0")], "must be a single line"),
        ([("a", "1"), ("b", "1"), ("a", "1")], "'a' is given twice"),
    ],
)
def test_invalid_attributes(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        request.checked_attributes(pairs)


def test_a_name_is_text() -> None:
    with pytest.raises(InvalidInput, match="is not valid text"):
        request.checked_name("web\ud800")


def test_the_nil_uuid_is_refused_for_new_devices() -> None:
    assert not request.DeviceRequest(NIL_UUID, active=False).present
    for states in ({"active": True}, {"active": False, "persistent": True}):
        with pytest.raises(InvalidInput, match="nil UUID can't identify a new device"):
            request.DeviceRequest(NIL_UUID, **states)


def test_parents_are_deduplicated() -> None:
    assert request.checked_parents(["41:00.4", "0000:41:00.4", "pci_0000_41_00_5"]) == ("0000:41:00.4", "0000:41:00.5")
