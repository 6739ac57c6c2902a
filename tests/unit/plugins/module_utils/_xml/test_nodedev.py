# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node device XML: writing it, and reading requests from it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from builders import UUID, define, device, mdev_type, parent
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.vendor_vfio.framework import VENDOR_VFIO
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import State
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput, MissingLibrary
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Device,
    Parent,
    PciIds,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest, checked_parents
from ansible_collections.vfio.mdev.plugins.module_utils._xml import nodedev

VF = parent(
    "0000:41:00.4", mdev_type("nvidia-471", 1, "NVIDIA A100-8C"), pci=PciIds("0x10de", "0x20b0"), driver="nvidia"
)
MTTY = parent("mtty", mdev_type("mtty-1", 24, "Single port serial"), mdev_type("mtty-2", 12), subsystem="mtty")
CCW = parent("0.0.0052", mdev_type("vfio_ccw-io", 1, "I/O subchannel (Non-QDIO)", "vfio-ccw"), subsystem="css")
MATRIX = parent(
    "matrix", mdev_type("vfio_ap-passthrough", 65536, "VFIO AP Passthrough Device", "vfio-ap"), subsystem="matrix"
)
PARENTS = [VF, MTTY, CCW, MATRIX, parent("0000:42:00.0", pci=PciIds("0x10de", "0x20b0"))]


@pytest.fixture(scope="session")
def schema(libvirt_schemas: Path) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(libvirt_schemas / "nodedev.rng"))


def valid(schema: etree.RelaxNG, text: str) -> bool:
    return bool(schema.validate(etree.fromstring(text)))


@pytest.mark.parametrize("parent_", PARENTS, ids=lambda parent_: parent_.address)
def test_parents_are_valid_for_libvirt(parent_: Parent, schema: etree.RelaxNG) -> None:
    assert valid(schema, nodedev.parent_xml(parent_)), schema.error_log


def parse(text: str) -> DeviceRequest:
    return nodedev.parse_device_xml(text, DeviceRequest())


DEVICES = [
    (
        device(UUID, "0000:41:00.4", "nvidia-471", iommu_group=7, attributes=(Attribute("nvidia/vgpu_params", "a=0"),)),
        VF,
    ),
    (device(UUID, "mtty", "mtty-1", driver=None, attributes=(Attribute("a", "<&'\">"), Attribute("a", ""))), MTTY),
    (device(UUID, "0.0.0052", "vfio_ccw-io", driver="vfio_ccw_mdev"), CCW),
    (device(UUID, "matrix", "vfio_ap-passthrough"), MATRIX),
]


@pytest.mark.parametrize(("device_", "on"), DEVICES, ids=lambda value: getattr(value, "address", ""))
def test_devices_are_valid_for_libvirt_and_survive_a_round_trip(
    device_: Device, on: Parent, schema: etree.RelaxNG
) -> None:
    text = nodedev.device_xml(State(device_), on)
    assert valid(schema, text), schema.error_log
    request = parse(text)
    assert (request.key, request.type) == (device_.uuid, device_.type_id)
    assert request.parents == checked_parents([on.nodedev])
    assert (request.attributes or ()) == device_.attributes


VGPU = parent(
    "0000:41:00.5",
    mdev_type("1147", 0, "NVIDIA L40S-8Q"),
    pci=PciIds("0x10de", "0x26b9"),
    driver="nvidia",
    framework=VENDOR_VFIO,
)


def test_a_function_with_a_vgpu_is_a_pci_device_to_libvirt(schema: etree.RelaxNG) -> None:
    text = nodedev.device_xml(State(device(UUID, VGPU.address, "1147", framework=VENDOR_VFIO)), VGPU)
    assert valid(schema, text), schema.error_log
    root = etree.fromstring(text)
    assert (root.findtext("name"), root.findtext("driver/name")) == ("pci_0000_41_00_5", "nvidia")
    assert root.find(".//capability[@type='mdev_types']") is None


def test_a_defined_device_that_is_not_active(schema: etree.RelaxNG) -> None:
    stored = define(UUID, "mtty", "mtty-2", attributes=(Attribute("a", "1"),))
    text = nodedev.device_xml(State(definition=stored), MTTY)
    assert valid(schema, text), schema.error_log
    assert parse(text).attributes == stored.attributes


def test_a_request_to_libvirt_survives_a_round_trip() -> None:
    text = nodedev.request_xml(UUID, "mtty_mtty", "mtty-2", (Attribute("a", "1"),))
    request = parse(text)
    assert request == DeviceRequest(UUID, type="mtty-2", parents=("mtty_mtty",), attributes=(Attribute("a", "1"),))


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_name_and_description_can_be_written(name: str, description: str) -> None:
    odd = parent("mtty", mdev_type("mtty-1", 1, name or "x"), subsystem=description or "y")
    assert etree.fromstring(nodedev.parent_xml(odd)).tag == "device"


def test_a_type_that_libvirt_cannot_describe_is_left_out(schema: etree.RelaxNG) -> None:
    odd = parent("matrix", mdev_type("a", 1, api=None), mdev_type("b", None), mdev_type("c", 0), subsystem="matrix")
    text = nodedev.parent_xml(odd)
    assert valid(schema, text), schema.error_log
    assert etree.fromstring(text).xpath("//type/@id") == ["c"]


MDEV = "<capability type='mdev'><type id='mtty-2'/></capability>"


def test_elements_that_libvirt_ignores_are_ignored() -> None:
    request = parse(
        """<?xml version='1.0' encoding='UTF-8'?>
        <!-- as virsh nodedev-dumpxml prints it -->
        <device>
          <name>any</name><path>/nowhere</path><parent> mtty_mtty </parent>
          <driver><name>mtty</name></driver>
          <capability type='mdev'>
            <type id='mtty-2'><extra/></type>
            <uuid>AAAAAAAA-2222-3333-4444-555555555555</uuid>
            <parent_addr>mtty</parent_addr><iommuGroup number='0'/><unknown x='1'/>
            <attr name='b' value='1'/><attr name='a' value=''/>
          </capability>
        </device>"""
    )
    assert request == DeviceRequest(
        type="mtty-2",
        parents=("mtty_mtty",),
        key="aaaaaaaa-2222-3333-4444-555555555555",
        attributes=(Attribute("b", "1"), Attribute("a", "")),
    )


def test_parent_and_uuid_may_be_left_out() -> None:
    request = parse(f"<device>{MDEV}</device>")
    assert (request.parents, request.key) == ((), "")


def mdev(inner: str) -> str:
    return f"<device><capability type='mdev'>{inner}</capability></device>"


BILLION_LAUGHS = """<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>
<device><parent>&c;</parent></device>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not well-formed"),
        ("device", "not well-formed"),
        ("<device>", "not well-formed"),
        ("<device></device><device></device>", "not well-formed"),
        ("<domain/>", "root element is <domain>"),
        ("<device xmlns='urn:x'/>", "root element is"),
        ("<device/>", "0 <capability> elements"),
        (f"<device>{MDEV}{MDEV}</device>", "2 <capability> elements"),
        ("<device><capability type='pci'/></device>", "type 'pci', it must be 'mdev'"),
        (mdev(""), "no <type id"),
        (mdev("<type/>"), "no <type id"),
        (mdev("<type id=' '/>"), "no <type id"),
        (mdev("<type id='a'/><type id='b'/>"), "2 <type> elements"),
        (mdev("<type id='a' id='b'/>"), "not well-formed.*Attribute id redefined"),
        (mdev("<type id='a'/><uuid>zz</uuid>"), "'zz' is not a UUID"),
        (mdev("<type id='a'/><uuid/>"), "<uuid> is empty"),
        (mdev(f"<type id='a'/><uuid>{UUID}</uuid><uuid>{UUID}</uuid>"), "2 <uuid> elements"),
        (f"<device><parent>a</parent><parent>b</parent>{MDEV}</device>", "2 <parent> elements"),
        (mdev("<type id='a'/><attr name='x'/>"), "needs a name and a value"),
        (mdev("<type id='a'/><attr name='x' value='1'/><attr name='x' value='1'/>"), "'x' is given twice"),
        (mdev("<type id='a'/><attr name='../x' value='1'/>"), "is not a valid attribute name"),
        (BILLION_LAUGHS, "document type declaration"),
        (f"<!DOCTYPE device SYSTEM 'http://127.0.0.1:1/x.dtd'><device>{MDEV}</device>", "document type declaration"),
        (f"<!DOCTYPE device><device>{MDEV}</device>", "document type declaration"),
        (
            f"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><device><parent>&x;</parent>{MDEV}</device>",
            "document type declaration",
        ),
        ("<device><parent>&undefined;</parent></device>", "not well-formed"),
        ("<device>" + " " * 70000 + MDEV + "</device>", "more than the 65536"),
        ("<device>" + "<x>" * 20 + "</x>" * 20 + MDEV + "</device>", "more than 16 deep"),
        ("<device>" + "<x>" * 5000 + "</x>" * 5000 + MDEV + "</device>", "(not well-formed.*depth|16 deep)"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"(?s){message}"):
        parse(text)


def test_nothing_is_included_from_elsewhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    include = f"<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='{secret}' parse='text'/>"
    with pytest.raises(InvalidInput, match="<parent> is empty"):
        parse(f"<device><parent>{include}</parent>{MDEV}</device>")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for document in (text, f"<device>{text}{MDEV}</device>", mdev(f"<type id='a'/>{text}")):
        with contextlib.suppress(InvalidInput):
            parse(document)


def test_without_lxml_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lxml", None)
    with pytest.raises(MissingLibrary, match="Install python3-lxml"):
        parse(f"<device>{MDEV}</device>")
    with pytest.raises(MissingLibrary, match="Install python3-lxml"):
        nodedev.parent_xml(MTTY)
