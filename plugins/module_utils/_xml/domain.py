# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's devices in a guest's XML: which they are, and the same XML with others in their place. Pure.

These are mediated devices, by UUID, and PCI functions, by address: a vGPU under NVIDIA's own VFIO framework is one.

Source: libvirt's domain.rng and formatdomain.html. What is read is untrusted: no DTD, no entities, nothing from
outside, a limit on size and depth. All text around UUIDs and addresses stays as it is, byte for byte.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from .._model.addresses import parse_uuid, pci_address
from .._model.errors import InvalidInput

_MOST_BYTES = 4 * 1024 * 1024
_MOST_DEPTH = 64

_DOMAIN = ("domain",)
_HOSTDEV = ("domain", "devices", "hostdev")
_MDEV, _PCI = "mdev", "pci"
_PCI_NAMES = ("domain", "bus", "slot", "function")
_PCI_FORM = "{:04x}:{:02x}:{:02x}.{:x}"
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")


@dataclass(frozen=True)
class DomainMdev:
    """One mediated device of a guest.

    alias:   the name that libvirt gives it in a running guest, for example hostdev0
    model:   how the guest sees it: vfio-pci, vfio-ccw or vfio-ap
    address: where the guest sees it: 0000:06:00.0, or fe.0.0001 on s390; None where the XML does not say
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
    """A guest as its XML tells, as far as the host's devices go."""

    name: str
    mdevs: tuple[DomainMdev, ...]
    functions: tuple[DomainFunction, ...] = ()


@dataclass(frozen=True)
class Remapped:
    """The XML with other devices, and the entries of the map that it had no use for."""

    xml: str
    unused: tuple[str, ...]


def guest_file_name(name: str, suffix: str) -> str:
    """A guest's name as that of a file. libvirt allows no '/' in names (virXMLCheckIllegalChars)."""
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise InvalidInput(f"'{name}' can't name a guest", guest=name)
    return name + suffix


def parse_domain(text: str) -> Domain:
    """The guest in a <domain> document."""
    found = _read(text)
    return Domain(
        found.name.strip(),
        tuple(one.mdev for one in found.hostdevs if one.type == _MDEV),
        tuple(DomainFunction(one.id, one.alias, one.address) for one in found.hostdevs if one.type == _PCI),
    )


def remap_domain(text: str, devices: Mapping[str, str]) -> Remapped:
    """The XML with each device replaced by what the map has for it, all at once, so that two may be swapped.

    All mediated devices of the XML must be in the map. PCI functions that are not stay. No two may become the same.
    """
    targets = checked_device_map(devices)
    hostdevs = _read(text).hostdevs
    unmapped = sorted({one.id for one in hostdevs if one.type == _MDEV} - set(targets))
    if unmapped:
        raise InvalidInput(
            f"the map has no UUID for {', '.join(unmapped)}, which the guest's XML has. Nothing was replaced: "
            "map each UUID, those that stay to themselves",
            unmapped=unmapped,
        )
    _refuse_same({one.id: targets.get(one.id, one.id) for one in hostdevs})
    data = text.encode("utf-8")
    for edit in reversed([edit for one in hostdevs for edit in one.edits(targets.get(one.id, one.id))]):
        data = data[: edit.start] + edit.text.encode("ascii") + data[edit.end :]
    used = {one.id for one in hostdevs}
    return Remapped(data.decode("utf-8"), tuple(one for one in targets if one not in used))


def checked_device_map(devices: Mapping[str, str]) -> dict[str, str]:
    """UUIDs in lower case, PCI addresses as sysfs writes them. Each has one target, and no two the same."""
    targets: dict[str, str] = {}
    for given, wanted in devices.items():
        source, target = device_id(given), device_id(wanted)
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
    """What a guest's XML calls a device, a UUID or a PCI address, in the form that sysfs has."""
    return pci_address(text.strip()) or parse_uuid(text)


def _called(source: str) -> str:
    return f"PCI function {source}" if pci_address(source) else f"UUID {source}"


def _refuse_same(targets: Mapping[str, str]) -> None:
    sources: dict[str, str] = {}
    for source, target in targets.items():
        if sources.setdefault(target, source) != source:
            raise InvalidInput(
                f"{_called(sources[target])} and {source} are both mapped to {target}: one device can't be two",
                uuid=target,
            )


@dataclass(frozen=True)
class _Edit:
    """Bytes from start to end that become this text."""

    start: int
    end: int
    text: str


@dataclass
class _Hostdev:
    """A <hostdev> while it is read. places: where each attribute of its source address is, in bytes, with its value.

    tag_end: where an attribute can be added to the source address
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
        numbers = [_number(self._value(name)) for name in _PCI_NAMES[1:]]
        return _PCI_FORM.format(_number(self.places.get("domain", (0, 0, "0"))[2]), *numbers)

    @property
    def mdev(self) -> DomainMdev:
        return DomainMdev(self.id, self.alias, self.model, self.address)

    def _value(self, name: str) -> str:
        if name not in self.places:
            raise _invalid(
                f"a <hostdev type='{self.type}'> has no <source><address {name}='…'/></source>: libvirt requires it"
            )
        return self.places[name][2]

    def edits(self, wanted: str) -> list[_Edit]:
        """What makes it another device, in order. Nothing where it is the same, however it is written."""
        if wanted == self.id:
            return []
        if self.type == _MDEV:
            return [self._edit("uuid", wanted)]
        edits = [self._edit(name, f"0x{digits}") for name, digits in zip(_PCI_NAMES, re.split("[:.]", wanted))]
        return sorted(edits, key=lambda one: one.start)

    def _edit(self, name: str, text: str) -> _Edit:
        if name not in self.places:
            return _Edit(self.tag_end, self.tag_end, f" {name}='{text}'")
        start, end, _value = self.places[name]
        return _Edit(start, end, text)


@dataclass
class _Reading:
    """What the parser's events add up to."""

    data: bytes
    parser: xml.parsers.expat.XMLParserType
    path: list[str] = field(default_factory=list)
    name: str = ""
    hostdevs: list[_Hostdev] = field(default_factory=list)
    inside: Optional[_Hostdev] = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.path.append(tag)
        if len(self.path) > _MOST_DEPTH:
            raise _invalid(f"elements are nested more than {_MOST_DEPTH} deep")
        path = tuple(self.path)
        if len(path) == 1 and path != _DOMAIN:
            raise _invalid(f"the root element is <{tag}>, <domain> is wanted")
        if path == _HOSTDEV and attributes.get("type") in (_MDEV, _PCI):
            self.inside = _Hostdev(attributes["type"], attributes.get("model"))
        elif self.inside is not None:
            self._inside(self.inside, path[len(_HOSTDEV) :], attributes)

    def _inside(self, hostdev: _Hostdev, path: tuple[str, ...], attributes: dict[str, str]) -> None:
        if path == ("source", "address"):
            if hostdev.places:
                raise _invalid(f"a <hostdev type='{hostdev.type}'> has two source addresses")
            self._note_places(hostdev, attributes)
        elif path == ("alias",):
            hostdev.alias = attributes.get("name")
        elif path == ("address",):
            hostdev.address = _guest_address(attributes)

    def _note_places(self, hostdev: _Hostdev, attributes: dict[str, str]) -> None:
        """Where the values of the element's attributes are, without their quotes."""
        tag = _TAG_NAME.match(self.data, self.parser.CurrentByteIndex)
        found = _ATTRIBUTE.match(self.data, tag.end()) if tag else None
        hostdev.tag_end = tag.end() if tag else 0
        while found is not None:
            name = found.group(1).decode("utf-8")
            hostdev.places[name] = (found.start(2) + 1, found.end(2) - 1, attributes.get(name, ""))
            found = _ATTRIBUTE.match(self.data, found.end())

    def end(self, _tag: str) -> None:
        if tuple(self.path) == _HOSTDEV and self.inside is not None:
            # libvirt would refuse a PCI function without an address. It is none that can be meant here.
            if self.inside.type == _MDEV or frozenset(_PCI_NAMES[1:]) <= frozenset(self.inside.places):
                self.hostdevs.append(self.inside)
            self.inside = None
        self.path.pop()

    def text(self, data: str) -> None:
        if self.path == ["domain", "name"]:
            self.name += data


def _read(text: str) -> _Reading:
    data = text.encode("utf-8")
    if len(data) > _MOST_BYTES:
        raise _invalid(f"it has {len(data)} bytes, more than {_MOST_BYTES}: a guest's XML is far smaller")
    # Elements of other namespaces get the namespace before their name, and so are none of libvirt's.
    parser = xml.parsers.expat.ParserCreate("utf-8", " ")
    reading = _Reading(data, parser)
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
    except xml.parsers.expat.ExpatError as error:
        raise _invalid(f"it is not well-formed: {error}") from error
    return reading


def _refuse_doctype(*_arguments: object) -> None:
    raise _invalid("it has a document type declaration (DTD), which a guest's XML never has; entities are refused")


def _guest_address(attributes: dict[str, str]) -> Optional[str]:
    fields = _ADDRESS_FIELDS.get(attributes.get("type", ""))
    if fields is None:
        return None
    names, form = fields
    try:
        return form.format(*(_number(attributes.get(name, "0")) for name in names))
    except ValueError as error:
        raise _invalid(f"the address of a <hostdev type='mdev'> has no numbers: {error}") from error


def _number(text: str) -> int:
    return int(text, 16 if text.lower().startswith("0x") else 10)


_ADDRESS_FIELDS = {
    "pci": (_PCI_NAMES, _PCI_FORM),
    "ccw": (("cssid", "ssid", "devno"), "{:x}.{:x}.{:04x}"),
}


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput(f"the guest's XML was refused: {reason}", xml_problem=reason)
