# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils import _wanted
from ansible_collections.vfio.mdev.plugins.module_utils._errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model import Attribute

HOST = "0123456789abcdef0123456789abcdef"


def test_attributes_keep_their_order_and_may_repeat_a_name() -> None:
    pairs = [("assign_domain", "4"), ("assign_adapter", "5"), ("assign_adapter", "6")]
    assert _wanted.checked_attributes(pairs) == tuple(Attribute(*pair) for pair in pairs)


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
        _wanted.checked_attributes(pairs)


def test_candidates_are_taken_once() -> None:
    assert _wanted.checked_parents(["41:00.4", "0000:41:00.4", "pci_0000_41_00_5"]) == ("0000:41:00.4", "0000:41:00.5")


def test_a_given_uuid_is_taken() -> None:
    given = "AAAAAAAA-2222-3333-4444-555555555555"
    assert _wanted.wanted_uuid(given, None, "t", "p", HOST) == given.lower()


def test_the_same_request_gets_the_same_uuid_however_the_parent_is_written() -> None:
    asked = [
        _wanted.wanted_uuid(None, None, "t-1", parent, HOST)
        for parent in ("0000:41:00.4", "41:00.4", "pci_0000_41_00_4", "00000000:41:00.4")
    ]
    assert len(set(asked)) == 1


def test_other_requests_get_other_uuids() -> None:
    asked = [
        _wanted.wanted_uuid(None, "web-1", "t-1", None, HOST),
        _wanted.wanted_uuid(None, "web-2", "t-1", None, HOST),
        _wanted.wanted_uuid(None, "web-1", "t-1", None, ""),
        _wanted.wanted_uuid(None, None, "t-1", None, HOST),
        _wanted.wanted_uuid(None, None, "t-2", None, HOST),
        _wanted.wanted_uuid(None, None, "t-1", "41:00.4", HOST),
    ]
    assert len(set(asked)) == len(asked)


def test_a_name_alone_makes_the_uuid() -> None:
    """So that 'state: absent' with the name finds the device without knowing type and parent."""
    assert _wanted.wanted_uuid(None, "web-1", "t-1", "41:00.4", HOST) == _wanted.wanted_uuid(
        None, "web-1", None, None, HOST
    )


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="name is empty"):
        _wanted.wanted_uuid(None, " ", "t-1", None, HOST)
