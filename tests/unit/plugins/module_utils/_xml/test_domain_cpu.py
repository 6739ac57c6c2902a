# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPU in a guest's XML."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain_cpu import DomainCpu, parse_cpu

QEMU64 = "<cpu mode='custom' match='exact'>\n  <model fallback='forbid'>qemu64</model>\n  <feature name='é'/>\n</cpu>"


def domain(cpu: str, domain_type: str = " type='kvm'") -> str:
    return (
        f"<domain{domain_type}><name>ünder</name><metadata><cpu><model>other</model></cpu></metadata>"
        f"<os><type arch='x86_64' machine='pc-q35-8.2'>hvm</type></os>{cpu}<devices/></domain>"
    )


def test_a_model_is_read_with_what_it_depends_on() -> None:
    assert parse_cpu(domain(QEMU64)) == DomainCpu("kvm", "x86_64", "pc-q35-8.2", QEMU64)


def test_what_is_missing_is_none() -> None:
    assert parse_cpu(f"<domain>{QEMU64}</domain>") == DomainCpu(None, None, None, QEMU64)


@pytest.mark.parametrize(
    "cpu",
    ["", "<cpu/>", "<cpu mode='host-passthrough'/>", "<cpu><topology sockets='1'/></cpu>", "<other><cpu/></other>"],
)
def test_without_a_model_there_is_nothing_to_compare(cpu: str) -> None:
    assert parse_cpu(domain(cpu)) is None


@pytest.mark.parametrize("text", ["<domain>", "<!DOCTYPE domain><domain/>"])
def test_bad_xml_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_cpu(text)
