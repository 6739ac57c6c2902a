# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters as a playbook calls them. Their logic is tested with module_utils."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ansible_collections.vfio.mdev.plugins.filter import domain_mdevs, remap_domain_mdevs

A, B, C = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")
XML = f"<domain><devices><hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev></devices></domain>"
COMMAND_LINE = (
    "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:commandline>"
    f"<qemu:arg value='vfio-pci,sysfsdev=/sys/bus/mdev/devices/{A}'/></qemu:commandline></domain>"
)

DOMAIN_MDEVS = domain_mdevs.FilterModule().filters()["domain_mdevs"]
REMAP_DOMAIN_MDEVS = remap_domain_mdevs.FilterModule().filters()["remap_domain_mdevs"]


def test_devices_are_dictionaries() -> None:
    assert DOMAIN_MDEVS(XML) == [{"uuid": A, "alias": None, "model": None, "address": None}]


def test_the_xml_is_returned_with_other_uuids() -> None:
    assert REMAP_DOMAIN_MDEVS(XML, {A: B}) == XML.replace(A, B)


def test_unused_entries_cause_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, text, *_more, **_options: warnings.append(text))
    assert REMAP_DOMAIN_MDEVS(XML, {A: B, C: A}) == XML.replace(A, B)
    assert [C in text for text in warnings] == [True]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: DOMAIN_MDEVS("<device/>"), "domain_mdevs: .*it must be <domain>"),
        (lambda: REMAP_DOMAIN_MDEVS(XML, {}), f"remap_domain_mdevs: .*{A}"),
        (lambda: REMAP_DOMAIN_MDEVS(COMMAND_LINE, {A: B}), f"{A} is on QEMU's command line"),
        (lambda: REMAP_DOMAIN_MDEVS(XML, [A, B]), "expected a dictionary of UUIDs, got list"),
    ],
)
def test_errors_name_the_filter(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AnsibleFilterError, match=words):
        call()
