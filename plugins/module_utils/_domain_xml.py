# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mediated devices in a guest's XML: which they are, and the same XML with other UUIDs. Pure.

Source: libvirt's domain.rng and formatdomain.html. What is read is untrusted: no DTD, no entities, nothing from
outside, a limit on size and depth. All text around the UUIDs stays as it is, byte for byte.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from ._address import parse_uuid
from ._errors import InvalidInput

_MOST_BYTES = 4 * 1024 * 1024
_MOST_DEPTH = 64

_DOMAIN = ("domain",)
_HOSTDEV = ("domain", "devices", "hostdev")
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
class Domain:
    """A guest as its XML tells, as far as mediated devices go."""

    name: str
    mdevs: tuple[DomainMdev, ...]


@dataclass(frozen=True)
class Remapped:
    """The XML with other UUIDs, and the entries of the map that it had no use for."""

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
    return Domain(found.name.strip(), tuple(one.mdev for one in found.hostdevs))


def remap_domain(text: str, uuids: Mapping[str, str]) -> Remapped:
    """The XML with each mdev's UUID replaced by what the map has for it, all at once, so that two may be swapped.

    All UUIDs of the XML must be in the map, and no two may become the same.
    """
    targets = checked_uuid_map(uuids)
    hostdevs = _read(text).hostdevs
    unmapped = sorted({one.mdev.uuid for one in hostdevs} - set(targets))
    if unmapped:
        raise InvalidInput(
            f"the map has no UUID for {', '.join(unmapped)}, which the guest's XML has. Nothing was replaced: "
            "map each UUID, those that stay to themselves",
            unmapped=unmapped,
        )
    data = text.encode("utf-8")
    for one in reversed(hostdevs):
        data = data[: one.start] + _kept_or_new(data[one.start : one.end], targets[one.mdev.uuid]) + data[one.end :]
    used = {one.mdev.uuid for one in hostdevs}
    return Remapped(data.decode("utf-8"), tuple(uuid for uuid in targets if uuid not in used))


def checked_uuid_map(uuids: Mapping[str, str]) -> dict[str, str]:
    """The map in lower case. Each source may have one target, and each target one source."""
    targets: dict[str, str] = {}
    sources: dict[str, str] = {}
    for given, wanted in uuids.items():
        source, target = parse_uuid(given), parse_uuid(wanted)
        if targets.setdefault(source, target) != target:
            raise InvalidInput(f"UUID {source} is mapped twice, to {targets[source]} and to {target}", uuid=source)
        if sources.setdefault(target, source) != source:
            raise InvalidInput(
                f"UUIDs {sources[target]} and {source} are both mapped to {target}: one device can't be two",
                uuid=target,
            )
    return targets


def _kept_or_new(before: bytes, uuid: str) -> bytes:
    return before if before.decode("utf-8").lower() == uuid else uuid.encode("ascii")


@dataclass
class _Hostdev:
    """A <hostdev type='mdev'> while it is read. start and end: where its UUID is, in bytes."""

    model: Optional[str]
    uuid: Optional[str] = None
    start: int = 0
    end: int = 0
    alias: Optional[str] = None
    address: Optional[str] = None

    @property
    def mdev(self) -> DomainMdev:
        if self.uuid is None:
            raise _invalid("a <hostdev type='mdev'> has no <source><address uuid='…'/></source>: libvirt requires it")
        return DomainMdev(parse_uuid(self.uuid), self.alias, self.model, self.address)


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
        if path == _HOSTDEV and attributes.get("type") == "mdev":
            self.inside = _Hostdev(attributes.get("model"))
            self.hostdevs.append(self.inside)
        elif self.inside is not None:
            self._inside(self.inside, path[len(_HOSTDEV) :], attributes)

    def _inside(self, hostdev: _Hostdev, path: tuple[str, ...], attributes: dict[str, str]) -> None:
        if path == ("source", "address") and "uuid" in attributes:
            if hostdev.uuid is not None:
                raise _invalid("a <hostdev type='mdev'> has two source addresses")
            hostdev.uuid = attributes["uuid"]
            hostdev.start, hostdev.end = self._place_of(b"uuid")
        elif path == ("alias",):
            hostdev.alias = attributes.get("name")
        elif path == ("address",):
            hostdev.address = _guest_address(attributes)

    def _place_of(self, name: bytes) -> tuple[int, int]:
        """Where the value of an attribute of the element that starts here is, without its quotes."""
        tag = _TAG_NAME.match(self.data, self.parser.CurrentByteIndex)
        found = _ATTRIBUTE.match(self.data, tag.end()) if tag else None
        while found is not None and found.group(1) != name:
            found = _ATTRIBUTE.match(self.data, found.end())
        if found is None:
            raise _invalid("the place of a UUID was not found in it")
        return found.start(2) + 1, found.end(2) - 1

    def end(self, _tag: str) -> None:
        if tuple(self.path) == _HOSTDEV:
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
    "pci": (("domain", "bus", "slot", "function"), "{:04x}:{:02x}:{:02x}.{:x}"),
    "ccw": (("cssid", "ssid", "devno"), "{:x}.{:x}.{:04x}"),
}


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput(f"the guest's XML was refused: {reason}", xml_problem=reason)
