# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of the attributes and parents of a request."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._model import request
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import Attribute


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
def test_invalid_attributes(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        request.checked_attributes(pairs)


def test_parents_are_deduplicated() -> None:
    assert request.checked_parents(["41:00.4", "0000:41:00.4", "pci_0000_41_00_5"]) == ("0000:41:00.4", "0000:41:00.5")
