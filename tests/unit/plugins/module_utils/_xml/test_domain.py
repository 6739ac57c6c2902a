# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domain XML of guests: listing and mapping their devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain import (
    DomainFunction,
    DomainMdev,
    checked_device_map,
    parse_domain,
    remap_domain,
)

A, B, C, D = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abcd")

# Everything that must stay unchanged: a declaration, both kinds of quotes, comments, qemu's namespace, entities,
# CDATA, odd spaces, Windows' line ends, a PCI hostdev, a disk whose address looks like an mdev's, metadata that does.
GUEST = f"""<?xml version='1.0' encoding="ISO-8859-1"?>
<!-- uuid='{A}' -->
<domain type="qemu" xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' id='3'>
  <name>caf\xe9 &amp; web</name>\r
  <metadata><x:devices xmlns:x="urn:x"><hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev></x:devices>
  </metadata>
  <devices>
    <hostdev mode='subsystem' type='pci'><source><address domain='0x0000' uuid='{A}'/></source></hostdev>
    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display="off">
      <source><!-- > -->
        <address  note=" uuid='{A}' >"
                  uuid = "{A.upper()}" />
      </source>
      <alias name='hostdev0'/>
      <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x1'/>
    </hostdev>
    <hostdev model='vfio-ccw' type='mdev'><source><address uuid='{B}'></address></source>
      <address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/></hostdev>
    <description><![CDATA[ <address uuid='{A}'/> ]]></description>
  </devices>
  <qemu:override><qemu:device alias='hostdev0'/></qemu:override>
</domain>
<!-- end -->
"""
GUEST_WITH_MDEV = (
    f"<domain><devices><hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev></devices></domain>"
)


def test_only_mdevs_are_listed() -> None:
    domain = parse_domain(GUEST)
    assert domain.name == "caf\xe9 & web"
    assert domain.mdevs == (
        DomainMdev(A, "hostdev0", "vfio-pci", "0000:06:00.1"),
        DomainMdev(B, None, "vfio-ccw", "fe.0.0001"),
    )


def test_only_the_uuids_change() -> None:
    remapped = remap_domain(GUEST, {A: C, B: D, D: A})
    expected = GUEST.replace(f'uuid = "{A.upper()}"', f'uuid = "{C}"').replace(f"'{B}'", f"'{D}'")
    assert remapped.xml == expected
    assert remapped.unused == (D,)


def test_uuids_can_be_swapped_in_any_case() -> None:
    remapped = remap_domain(GUEST, {A: B.upper(), B.upper(): A})
    assert [mdev.uuid for mdev in parse_domain(remapped.xml).mdevs] == [B, A]


def test_a_uuid_that_is_mapped_to_itself_stays_as_written() -> None:
    assert remap_domain(GUEST, {A: A, B: B}).xml == GUEST


def test_a_guest_without_mdevs_stays_unchanged() -> None:
    text = "<domain><name>none</name><devices/></domain>"
    assert parse_domain(text).mdevs == ()
    assert remap_domain(text, {}).xml == text


@given(
    st.permutations([A, B, C, D]), st.text(st.characters(exclude_characters="<&'\"\r", exclude_categories=["Cs", "Cc"]))
)
def test_any_map_can_be_reversed(targets: list[str], text: str) -> None:
    devices = "".join(
        f"<hostdev type='mdev' note='{text}'><source><address uuid='{uuid}'/></source></hostdev>"
        for uuid in (A, B, C, D)
    )
    xml = f"<domain><devices>{devices}</devices></domain>"
    uuid_map = dict(zip((A, B, C, D), targets))
    reverse_map = {new: old for old, new in uuid_map.items()}
    remapped = remap_domain(xml, uuid_map).xml
    assert [mdev.uuid for mdev in parse_domain(remapped).mdevs] == targets
    assert remap_domain(remapped, reverse_map).xml == xml


# A vGPU of NVIDIA's vendor VFIO framework is a PCI function: the first as libvirt writes it, the second by hand.
FUNCTIONS = f"""<domain><name>web</name><devices>
<hostdev mode='subsystem' type='pci' managed='no'>
  <source><address domain='0x0000' bus='0x41' slot='0x00' function='0x4'/></source>
  <alias name='hostdev0'/><address type='pci' bus='0x06' slot='0x00' function='0x0'/>
</hostdev>
<hostdev type='pci'><source><address function="5" bus="65" slot="0"/></source></hostdev>
<hostdev type='pci'><source><address bus='0x03' slot='0x00' function='0x0'/></source></hostdev>
<hostdev type='mdev'><source><address uuid='{A}'/></source></hostdev>
</devices></domain>"""
VF4, VF5, VF6, FAR = "0000:41:00.4", "0000:41:00.5", "0000:41:00.6", "0001:c1:02.7"


def test_functions_are_listed_beside_mdevs() -> None:
    domain = parse_domain(FUNCTIONS)
    assert domain.functions == (
        DomainFunction(VF4, "hostdev0", "0000:06:00.0"),
        DomainFunction(VF5),
        DomainFunction("0000:03:00.0"),
    )
    assert [mdev.uuid for mdev in domain.mdevs] == [A]


def test_functions_are_mapped_like_uuids_and_others_stay() -> None:
    remapped = remap_domain(FUNCTIONS, {VF4: VF5, "41:00.5": FAR, A: B, VF6: VF6})
    expected = (
        FUNCTIONS.replace("function='0x4'", "function='0x5'")
        .replace('function="5" bus="65" slot="0"', """ domain='0x0001' function="0x7" bus="0xc1" slot="0x02\"""")
        .replace(A, B)
    ).replace("<address  domain", "<address domain")
    assert remapped.xml == expected
    assert remapped.unused == (VF6,)
    assert [hostdev.function for hostdev in parse_domain(remapped.xml).functions] == [VF5, FAR, "0000:03:00.0"]


def test_functions_that_are_mapped_to_themselves_stay_as_written() -> None:
    assert remap_domain(FUNCTIONS, {VF4: VF4, VF5: VF5, A: A}).xml == FUNCTIONS


REFUSED = {
    "one function, two devices": (
        FUNCTIONS,
        {VF4: VF5, A: A},
        f"PCI function {VF4} and {VF5} are both mapped to {VF5}",
    ),
    "a UUID that becomes a function": (FUNCTIONS, {A: VF6}, "a UUID can only become a UUID"),
    "every UUID without an entry is reported": (GUEST, {}, f"no UUID for {A}, {B}"),
    "two sources, one target": (GUEST_WITH_MDEV, {A: C, B: C}, f"both mapped to {C}"),
    "one source, two targets": (GUEST_WITH_MDEV, {A: C, A.upper(): D}, "mapped twice"),
    "a target that is not a UUID": (GUEST_WITH_MDEV, {A: "web"}, "'web' is not a UUID"),
    "not XML": ("<domain>", {}, "not well-formed"),
    "nothing": ("", {}, "not well-formed"),
    "not a guest": ("<device/>", {}, "it must be <domain>"),
    "a namespace of its own": ('<domain xmlns="urn:x"/>', {}, "it must be <domain>"),
    "a DTD": (f"<!DOCTYPE domain [<!ENTITY a 'b'>]>{GUEST_WITH_MDEV}", {}, "DTD"),
    "an outer DTD": (f"<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>{GUEST_WITH_MDEV}", {}, "DTD"),
    "an entity": (GUEST_WITH_MDEV.replace(A, "&a;"), {}, "not well-formed"),
    "too deep": ("<domain>" + "<a>" * 64 + "</a>" * 64 + "</domain>", {}, "more than 64 deep"),
    "too big": (f"<domain>{' ' * 4 * 1024 * 1024}</domain>", {}, "more than"),
    "an mdev without a UUID": (GUEST_WITH_MDEV.replace(f"uuid='{A}'", ""), {}, "libvirt requires it"),
    "an mdev with two UUIDs": (
        GUEST_WITH_MDEV.replace("</source>", f"<address uuid='{B}'/></source>"),
        {},
        "two source addresses",
    ),
    "an invalid UUID": (GUEST_WITH_MDEV.replace(A, "x"), {}, "'x' is not a UUID"),
    "an invalid address": (
        GUEST_WITH_MDEV.replace("</source>", "</source><address type='pci' bus='x'/>"),
        {},
        "no numbers",
    ),
}


@pytest.mark.parametrize(("text", "uuid_map", "problem"), REFUSED.values(), ids=REFUSED)
def test_refusals(text: str, uuid_map: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        remap_domain(text, uuid_map)
    assert problem in raised.value.message


def test_a_map_is_converted_to_lower_case() -> None:
    assert checked_device_map({A.upper(): B.upper()}) == {A: B}


def test_the_uuid_of_a_guest() -> None:
    assert parse_domain(f"<domain><name>web</name><uuid> {A.upper()} </uuid></domain>").uuid == A
    assert parse_domain("<domain><metadata><uuid>x</uuid></metadata></domain>").uuid == ""


# As the guides for GVT-g write it, and other notations of QEMU.
ARGUMENTS = {
    f"vfio-pci,sysfsdev=/sys/bus/mdev/devices/{A},addr=06.0,display=off": (A,),
    f"vfio-pci,id=x,sysfsdev=/sys/devices/pci0000:00/0000:00:02.0/{A.upper()}/": (A,),
    f'{{"driver": "vfio-pci", "sysfsdev": "/sys/bus/mdev/devices/{A}"}}': (A,),
    f"vfio-ap,sysfsdev=/sys/devices/vfio_ap/matrix/{A}": (A,),
    "vfio-pci,host=41:00.4": (VF4,),
    "vfio-pci,sysfsdev=/sys/bus/pci/devices/0000:41:00.4": (VF4,),
    "socket,id=monitor,host=127.0.0.1,port=1": (),
    "trace:vfio_migration_set_device_state": (),
}


@pytest.mark.parametrize(("argument", "devices"), ARGUMENTS.items(), ids=ARGUMENTS)
def test_devices_on_the_command_line_are_listed_and_cannot_be_replaced(argument: str, devices: tuple[str, ...]) -> None:
    qemu = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
    value = argument.replace('"', "&quot;")
    xml = f'<domain {qemu}><qemu:commandline><qemu:arg value="{value}"/></qemu:commandline></domain>'
    assert parse_domain(xml).command_line == devices
    assert remap_domain(xml, {device: device for device in devices}).unused == ()
    for device in devices:
        target = B if device == A else VF5
        with pytest.raises(InvalidInput, match=f"{device} is on QEMU's command line"):
            remap_domain(xml, {device: target})
        with pytest.raises(InvalidInput, match=f"{device} is on QEMU's command line"):
            remap_domain(xml, {})


# strtoul() with base 0, as in libvirt.
NUMBERS = {"0x41": 0x41, "0X41": 0x41, "65": 65, "0101": 65, "010": 8, "0": 0, "00": 0, " 8": 8, "+8": 8}


@pytest.mark.parametrize(("text", "bus"), NUMBERS.items(), ids=NUMBERS)
def test_numbers_are_read_as_libvirt_does(text: str, bus: int) -> None:
    xml = FUNCTIONS.replace("bus='0x41'", f"bus='{text}'")
    assert parse_domain(xml).functions[0].function == f"0000:{bus:02x}:00.4"


@pytest.mark.parametrize("text", ["zz", "", "0x", "0x4_1", "1_0", "09", "-1", "8 ", "\u0661", "0x100", "9" * 5000])
def test_a_source_address_that_libvirt_would_refuse(text: str) -> None:
    with pytest.raises(InvalidInput, match="bus"):
        parse_domain(FUNCTIONS.replace("bus='0x41'", f"bus='{text}'"))


def test_a_domain_of_five_digits() -> None:
    xml = FUNCTIONS.replace("domain='0x0000' bus='0x41'", "domain='0x10000' bus='0x41'")
    assert parse_domain(xml).functions[0].function == "10000:41:00.4"
