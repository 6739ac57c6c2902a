# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's devices in a guest's XML: which they are, and the same XML with others in their place. Pure.

These are mediated devices, by UUID, and PCI functions, by address: a vGPU under NVIDIA's own VFIO framework is one.
Devices on QEMU's command line (<qemu:commandline>) are listed, but can't be replaced: libvirt does not know them.

Source: libvirt's domain.rng and formatdomain.html. Input is untrusted: see
guard.py. All text around UUIDs and addresses stays as it is, byte for byte.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional

from .._model.addresses import parse_uuid, pci_address, refuse_number
from .._model.errors import InvalidInput
from .guard import XmlGuard

_GUARD = XmlGuard("the guest's XML", max_bytes=4 * 1024 * 1024, max_depth=64)

_DOMAIN = ("domain",)
_HOSTDEV = ("domain", "devices", "hostdev")
_MDEV, _PCI = "mdev", "pci"
_PCI_NAMES = ("domain", "bus", "slot", "function")
_PCI_FORM = "{:04x}:{:02x}:{:02x}.{:x}"
_QEMU_ARGUMENT = ("domain", *(f"http://libvirt.org/schemas/domain/qemu/1.0 {tag}" for tag in ("commandline", "arg")))
# sysfsdev=/sys/bus/mdev/devices/UUID and host=ADDRESS of QEMU's -device vfio-pci, also written as JSON.
_QEMU_VFIO = re.compile(r"""(?:^|driver["']?\s*[=:]\s*["']?)vfio-""")
_QEMU_DEVICE = re.compile(r"""\b(?:sysfsdev|host)["']?\s*[=:]\s*["']?([^,"'\s}]+)""")
# strtoul() with base 0, as virStrToLong_uip() uses it: 010 is 8.
_NUMBER = re.compile(r"\s*\+?(?:0x([0-9a-f]+)|(0[0-7]*)|([1-9][0-9]*))", re.IGNORECASE)
_PCI_LIMITS = {"domain": 0xFFFFFFFF, "bus": 0xFF, "slot": 0x1F, "function": 7}
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")


@dataclass(frozen=True)
class DomainMdev:
    """One mediated device of a guest.

    alias:   the name that libvirt gives it in a running guest, for example hostdev0
    model:   how the guest sees it: vfio-pci, vfio-ccw or vfio-ap
    address: where the guest sees it: 0000:06:00.0, or fe.0.0001 on s390; None if the XML does not have it
    """

    uuid: str
    alias: Optional[str] = None
    model: Optional[str] = None
    address: Optional[str] = None


@dataclass(frozen=True)
class DomainFunction:
    """A PCI function of the host that a guest has. alias and address: as those of DomainMdev."""

    function: str
    alias: Optional[str] = None
    address: Optional[str] = None


@dataclass(frozen=True)
class Domain:
    """The host's devices in a guest's XML.

    uuid:         the guest's UUID; empty if the XML does not have it
    command_line: the devices on QEMU's command line: UUIDs, PCI addresses, or names in sysfs
    """

    name: str
    mdevs: tuple[DomainMdev, ...]
    functions: tuple[DomainFunction, ...] = ()
    uuid: str = ""
    command_line: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remapped:
    """The XML with other devices, and the entries of the map that it had no use for."""

    xml: str
    unused: tuple[str, ...]


def parse_domain(text: str) -> Domain:
    """The guest in a <domain> document."""
    reading = _read(text)
    uuid = reading.texts["uuid"].strip()
    return Domain(
        reading.texts["name"].strip(),
        tuple(hostdev.mdev for hostdev in reading.hostdevs if hostdev.type == _MDEV),
        tuple(
            DomainFunction(hostdev.id, hostdev.alias, hostdev.address)
            for hostdev in reading.hostdevs
            if hostdev.type == _PCI
        ),
        uuid=parse_uuid(uuid) if uuid else "",
        command_line=tuple(dict.fromkeys(reading.command_line)),
    )


def remap_domain(text: str, devices: Mapping[str, str]) -> Remapped:
    """The XML with each device replaced by the map's entry for it, all at once, so that two devices can be swapped.

    All mediated devices of the XML must be in the map. PCI functions that are not in the map stay. No two devices may
    become the same one.
    """
    targets = checked_device_map(devices)
    reading = _read(text)
    hostdevs = reading.hostdevs
    _refuse_command_line(reading.command_line, targets)
    unmapped = sorted({hostdev.id for hostdev in hostdevs if hostdev.type == _MDEV} - set(targets))
    if unmapped:
        raise InvalidInput(
            f"the map has no UUID for {', '.join(unmapped)}, which the guest's XML has. Nothing was replaced. "
            "Map each UUID, and map a UUID that should stay to itself",
            unmapped=unmapped,
        )
    _refuse_same({hostdev.id: targets.get(hostdev.id, hostdev.id) for hostdev in hostdevs})
    data = text.encode("utf-8")
    edits = [edit for hostdev in hostdevs for edit in hostdev.edits(targets.get(hostdev.id, hostdev.id))]
    for edit in reversed(edits):
        data = data[: edit.start] + edit.text.encode("ascii") + data[edit.end :]
    used = {hostdev.id for hostdev in hostdevs} | set(reading.command_line)
    return Remapped(data.decode("utf-8"), tuple(source for source in targets if source not in used))


def command_line_problem(devices: Iterable[str]) -> str:
    """Why a guest with these devices on QEMU's command line can't get others."""
    return (
        f"{', '.join(devices)} is on QEMU's command line (<qemu:commandline>), where libvirt does not manage it and "
        "it can't be replaced. Write it as a <hostdev> instead"
    )


def _refuse_command_line(devices: list[str], targets: Mapping[str, str]) -> None:
    changing = list(dict.fromkeys(device for device in devices if targets.get(device) != device))
    if changing:
        raise InvalidInput(f"{command_line_problem(changing)}. Nothing was replaced", command_line=changing)


def checked_device_map(devices: Mapping[str, str]) -> dict[str, str]:
    """UUIDs in lower case, PCI addresses as sysfs writes them. Each has one target, and no two have the same one."""
    targets: dict[str, str] = {}
    for old, new in devices.items():
        source, target = device_id(old), device_id(new)
        if (pci_address(source) is None) != (pci_address(target) is None):
            raise InvalidInput(
                f"{source} is mapped to {target}: a UUID can only become a UUID, and a PCI address a PCI address",
                uuid=source,
            )
        if targets.setdefault(source, target) != target:
            raise InvalidInput(f"{_called(source)} is mapped twice, to {targets[source]} and to {target}", uuid=source)
    _refuse_same(targets)
    return targets


def device_id(text: str) -> str:
    """The UUID or PCI address of a device in a guest's XML, in the form of sysfs."""
    refuse_number(text)
    return pci_address(text.strip()) or parse_uuid(text)


def _called(source: str) -> str:
    return f"PCI function {source}" if pci_address(source) else f"UUID {source}"


def _refuse_same(targets: Mapping[str, str]) -> None:
    sources: dict[str, str] = {}
    for source, target in targets.items():
        if sources.setdefault(target, source) != source:
            raise InvalidInput(
                f"{_called(sources[target])} and {source} are both mapped to {target}: two devices can't become one",
                uuid=target,
            )


@dataclass(frozen=True)
class _Edit:
    """Replaces the bytes from start to end with this text."""

    start: int
    end: int
    text: str


@dataclass
class _Hostdev:
    """A <hostdev> while it is being read.

    places:  the byte positions of the attributes of its source address, with their values
    tag_end: the byte position at which an attribute can be added to the source address
    """

    type: str
    model: Optional[str]
    places: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    tag_end: int = 0
    alias: Optional[str] = None
    address: Optional[str] = None

    @property
    def id(self) -> str:
        """The device's UUID or PCI address."""
        if self.type == _MDEV:
            return parse_uuid(self._value("uuid"))
        values = {"domain": self.places.get("domain", (0, 0, "0"))[2]}
        values.update({name: self._value(name) for name in _PCI_NAMES[1:]})
        return _PCI_FORM.format(*(self._pci_number(name, text) for name, text in values.items()))

    @staticmethod
    def _pci_number(name: str, text: str) -> int:
        try:
            number = _number(text)
        except ValueError as error:
            raise _GUARD.invalid(
                f"the source address of a <hostdev type='pci'> has no number as {name}: {error}"
            ) from error
        if number > _PCI_LIMITS[name]:
            raise _GUARD.invalid(
                f"the source address of a <hostdev type='pci'> has {name} '{text}', which is too large"
            )
        return number

    @property
    def mdev(self) -> DomainMdev:
        return DomainMdev(self.id, self.alias, self.model, self.address)

    def _value(self, name: str) -> str:
        if name not in self.places:
            raise _GUARD.invalid(
                f"a <hostdev type='{self.type}'> has no <source><address {name}='…'/></source>: libvirt requires it"
            )
        return self.places[name][2]

    def edits(self, target: str) -> list[_Edit]:
        """The edits that make it another device, in order. None if it is the same device, however it is written."""
        if target == self.id:
            return []
        if self.type == _MDEV:
            return [self._edit("uuid", target)]
        edits = [self._edit(name, f"0x{digits}") for name, digits in zip(_PCI_NAMES, re.split("[:.]", target))]
        return sorted(edits, key=lambda edit: edit.start)

    def _edit(self, name: str, text: str) -> _Edit:
        if name not in self.places:
            return _Edit(self.tag_end, self.tag_end, f" {name}='{text}'")
        start, end, _value = self.places[name]
        return _Edit(start, end, text)


@dataclass
class _Reading:
    """The result of the parser's events."""

    data: bytes
    parser: xml.parsers.expat.XMLParserType
    path: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=lambda: {"name": "", "uuid": ""})
    hostdevs: list[_Hostdev] = field(default_factory=list)
    command_line: list[str] = field(default_factory=list)
    inside: Optional[_Hostdev] = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.path.append(tag)
        _GUARD.check_depth(len(self.path))
        path = tuple(self.path)
        if len(path) == 1 and path != _DOMAIN:
            raise _GUARD.invalid(f"the root element is <{tag}>, it must be <domain>")
        if path == _QEMU_ARGUMENT:
            self.command_line.extend(_devices_in_argument(attributes.get("value", "")))
        elif path == _HOSTDEV and attributes.get("type") in (_MDEV, _PCI):
            self.inside = _Hostdev(attributes["type"], attributes.get("model"))
        elif self.inside is not None:
            self._inside(self.inside, path[len(_HOSTDEV) :], attributes)

    def _inside(self, hostdev: _Hostdev, path: tuple[str, ...], attributes: dict[str, str]) -> None:
        if path == ("source", "address"):
            if hostdev.places:
                raise _GUARD.invalid(f"a <hostdev type='{hostdev.type}'> has two source addresses")
            self._note_places(hostdev, attributes)
        elif path == ("alias",):
            hostdev.alias = attributes.get("name")
        elif path == ("address",):
            hostdev.address = _guest_address(attributes)

    def _note_places(self, hostdev: _Hostdev, attributes: dict[str, str]) -> None:
        """Notes the positions of the values of the element's attributes, without their quotes."""
        tag = _TAG_NAME.match(self.data, self.parser.CurrentByteIndex)
        match = _ATTRIBUTE.match(self.data, tag.end()) if tag else None
        hostdev.tag_end = tag.end() if tag else 0
        while match is not None:
            name = match.group(1).decode("utf-8")
            hostdev.places[name] = (match.start(2) + 1, match.end(2) - 1, attributes.get(name, ""))
            match = _ATTRIBUTE.match(self.data, match.end())

    def end(self, _tag: str) -> None:
        if tuple(self.path) == _HOSTDEV and self.inside is not None:
            # libvirt would refuse a PCI function without an address, and no map can refer to it.
            if self.inside.type == _MDEV or frozenset(_PCI_NAMES[1:]) <= frozenset(self.inside.places):
                self.hostdevs.append(self.inside)
            self.inside = None
        self.path.pop()

    def text(self, data: str) -> None:
        if len(self.path) == 2 and self.path[1] in self.texts:
            self.texts[self.path[1]] += data


def _read(text: str) -> _Reading:
    data = _GUARD.encoded(text)
    # expat puts the namespace before the names of elements in other namespaces, so that they differ from libvirt's.
    parser = xml.parsers.expat.ParserCreate("utf-8", " ")
    reading = _Reading(data, parser)
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = _GUARD.refuse_dtd
    try:
        parser.Parse(data, True)
    except xml.parsers.expat.ExpatError as error:
        raise _GUARD.invalid(f"it is not well-formed: {error}") from error
    return reading


def _guest_address(attributes: dict[str, str]) -> Optional[str]:
    fields = _ADDRESS_FIELDS.get(attributes.get("type", ""))
    if fields is None:
        return None
    names, form = fields
    try:
        return form.format(*(_number(attributes.get(name, "0")) for name in names))
    except ValueError as error:
        raise _GUARD.invalid(f"the address of a <hostdev type='mdev'> has no numbers: {error}") from error


def _devices_in_argument(value: str) -> Iterator[str]:
    """The host's devices in one argument of QEMU."""
    if not _QEMU_VFIO.search(value):
        return
    for match in _QEMU_DEVICE.finditer(value):
        name = match.group(1).rstrip("/").rpartition("/")[2]
        yield pci_address(name) or name.lower()


def _number(text: str) -> int:
    """A number as libvirt reads it. Raises ValueError."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is not a number")
    hexadecimal, octal, decimal = match.groups()
    return int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)


_ADDRESS_FIELDS = {
    "pci": (_PCI_NAMES, _PCI_FORM),
    "ccw": (("cssid", "ssid", "devno"), "{:x}.{:x}.{:04x}"),
}
