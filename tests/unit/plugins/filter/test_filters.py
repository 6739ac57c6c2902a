# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters as a playbook calls them. What they do is tested with the core."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ansible_collections.vfio.mdev.plugins.filter import domain_mdevs, remap_domain_mdevs

A, B, C = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")
XML = f"<domain><devices><hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev></devices></domain>"

LISTED = domain_mdevs.FilterModule().filters()["domain_mdevs"]
REMAPPED = remap_domain_mdevs.FilterModule().filters()["remap_domain_mdevs"]


def test_devices_are_dictionaries() -> None:
    assert LISTED(XML) == [{"uuid": A, "alias": None, "model": None, "address": None}]


def test_the_xml_comes_back_with_other_uuids() -> None:
    assert REMAPPED(XML, {A: B}) == XML.replace(A, B)


def test_unused_entries_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, text, *_more, **_options: said.append(text))
    assert REMAPPED(XML, {A: B, C: A}) == XML.replace(A, B)
    assert [C in text for text in said] == [True]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LISTED("<device/>"), "domain_mdevs: .*<domain> is wanted"),
        (lambda: REMAPPED(XML, {}), f"remap_domain_mdevs: .*{A}"),
        (lambda: REMAPPED(XML, [A, B]), "a dictionary of UUIDs is wanted, not list"),
    ],
)
def test_errors_are_the_filters(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AnsibleFilterError, match=words):
        call()
