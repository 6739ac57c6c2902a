# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The <hostdev> of a device: valid for libvirt, and what lxml would write."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest
from builders import UUID, define, device
from lxml import etree

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import State
from ansible_collections.vfio.mdev.plugins.module_utils._xml.hostdev import hostdev_xml

MDEV = State(device(UUID, "mtty", "mtty-1"))


@pytest.mark.parametrize(
    ("state", "api", "element"),
    [
        (
            MDEV,
            "vfio-pci",
            f"""<hostdev mode="subsystem" type="mdev" model="vfio-pci">
  <source>
    <address uuid="{UUID}"/>
  </source>
</hostdev>
""",
        ),
        (
            State(definition=define("b", "0000:41:00.5", "1147", framework=VENDOR_VFIO)),
            None,
            """<hostdev mode="subsystem" type="pci" managed="no">
  <source>
    <address domain="0x0000" bus="0x41" slot="0x00" function="0x5"/>
  </source>
</hostdev>
""",
        ),
    ],
)
def test_it_is_valid_for_libvirt(state: State, api: Optional[str], element: str, libvirt_schemas: Path) -> None:
    assert hostdev_xml(state, api) == element
    guest = f"""<domain type="qemu"><name>a</name><memory>1</memory><os><type>hvm</type></os>
    <devices>{element}</devices></domain>"""
    domains = etree.RelaxNG(etree.parse(libvirt_schemas / "domain.rng"))
    assert domains.validate(etree.fromstring(guest)), domains.error_log


@pytest.mark.parametrize("api", ["vfio-ap", "a&b", "<a>", 'a"b', "a'b", "a\tb\nc\rd", "é\u2713", "a\0b\x1f"])
def test_it_is_what_lxml_writes(api: str) -> None:
    text = hostdev_xml(MDEV, api)
    root = etree.fromstring(text)
    assert root.get("model") == api.replace("\0", "?").replace("\x1f", "?")
    assert etree.tostring(root, encoding="unicode") + "\n" == text
