# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CPU in a guest's XML, as far as libvirt can compare it with that of another host. Pure.

Source: libvirt's formatdomain.html. In a running guest, libvirt has replaced mode host-model by a model with features.
"""

from __future__ import annotations

import xml.parsers.expat
from dataclasses import dataclass, field
from typing import Optional

from .guard import XmlGuard

_GUARD = XmlGuard("the guest's XML", max_bytes=4 * 1024 * 1024, max_depth=64)

_DOMAIN, _TYPE, _CPU = ("domain",), ("domain", "os", "type"), ("domain", "cpu")
_MODEL = (*_CPU, "model")


@dataclass(frozen=True)
class DomainCpu:
    """A guest's CPU.

    virttype: how it is run: kvm or qemu
    machine:  the type of the virtual machine, on which the CPUs depend that QEMU can provide
    xml:      the element <cpu>
    """

    virttype: Optional[str]
    arch: Optional[str]
    machine: Optional[str]
    xml: str


def parse_cpu(text: str) -> Optional[DomainCpu]:
    """The CPU in a <domain> document. None if it names no model, for example with mode host-passthrough."""
    data = _GUARD.encoded(text)
    # expat puts the namespace before the names of elements in other namespaces, so that they differ from libvirt's.
    parser = xml.parsers.expat.ParserCreate("utf-8", " ")
    reading = _Reading(data, parser)
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.StartDoctypeDeclHandler = _GUARD.refuse_dtd
    try:
        parser.Parse(data, True)
    except xml.parsers.expat.ExpatError as error:
        raise _GUARD.invalid(f"it is not well-formed: {error}") from error
    facts = reading.facts
    if not reading.has_model:
        return None
    return DomainCpu(facts.get("virttype"), facts.get("arch"), facts.get("machine"), reading.cpu)


@dataclass
class _Reading:
    """The result of the parser's events."""

    data: bytes
    parser: xml.parsers.expat.XMLParserType
    path: list[str] = field(default_factory=list)
    facts: dict[str, Optional[str]] = field(default_factory=dict)
    cpu_start: int = 0
    cpu: str = ""
    has_model: bool = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.path.append(tag)
        _GUARD.check_depth(len(self.path))
        path = tuple(self.path)
        if path == _DOMAIN:
            self.facts["virttype"] = attributes.get("type")
        elif path == _TYPE:
            self.facts.update(arch=attributes.get("arch"), machine=attributes.get("machine"))
        elif path == _CPU:
            self.cpu_start = self.parser.CurrentByteIndex
        self.has_model = self.has_model or path == _MODEL

    def end(self, _tag: str) -> None:
        if tuple(self.path) == _CPU:
            end = self.data.index(b">", self.parser.CurrentByteIndex) + 1 if self.has_model else self.cpu_start
            self.cpu = self.data[self.cpu_start : end].decode("utf-8")
        self.path.pop()
