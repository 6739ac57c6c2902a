# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's node device XML: read as a request for a device, written from devices and parents.

Source: libvirt's nodedev.rng and formatnode.html. Input is untrusted: see guard.py.
lxml is imported only if XML is requested.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Optional

from .._model.addresses import css_address, parse_uuid, pci_address
from .._model.device_state import State
from .._model.errors import InvalidInput, MissingLibrary
from .._model.inventory import Attribute, Parent, PciIds, Type
from .._model.request import DeviceRequest, checked_attributes, checked_parents
from .guard import XmlGuard
from .hostdev import NOT_XML, PCI_PARTS

if TYPE_CHECKING:
    from lxml.etree import _Element


_GUARD = XmlGuard("the node device XML", max_bytes=65536, max_depth=16)


def parse_device_xml(text: str, base: DeviceRequest) -> DeviceRequest:
    """The request in a <device> document, as libvirt reads it. The rest of the request comes from base.

    Unknown elements are ignored, as libvirt does. attributes stays None if the document has none.
    """
    root = _safe_root(text)
    if root.tag != "device":
        raise _GUARD.invalid(f"the root element is <{root.tag}>, it must be <device>")
    capability = _only_mdev_capability(root)
    type_element = _at_most_one(capability, "type")
    type_id = "" if type_element is None else (type_element.get("id") or "").strip()
    if not type_id:
        raise _GUARD.invalid("<capability type='mdev'> has no <type id='…'/>: libvirt and this collection require it")
    uuid, parent = _text(capability, "uuid"), _text(root, "parent")
    if uuid is not None and base.name is not None:
        raise InvalidInput("the XML has a <uuid>, so name has nothing to derive: leave one of them out", name=base.name)
    return replace(
        base,
        key=parse_uuid(uuid) if uuid is not None else "",
        type=type_id,
        parents=checked_parents([parent]) if parent is not None else (),
        attributes=checked_attributes([_attribute(element) for element in capability.findall("attr")]) or None,
    )


def device_xml(state: State, parent: Parent) -> str:
    """The device as libvirt shows it, active or defined. A half removed device has no type and can't be described."""
    if state.framework.parent_is_device:
        return parent_xml(parent)
    device = state.device
    root = _element("device")
    _child(root, "name", state.nodedev)
    if device is not None:
        _child(root, "path", device.path)
    _child(root, "parent", parent.nodedev)
    if device is not None and device.driver:
        _child(_child(root, "driver"), "name", device.driver)
    capability = _child(root, "capability", type="mdev")
    _child(capability, "type", id=state.type_id)
    _child(capability, "uuid", state.id)
    _child(capability, "parent_addr", state.parent)
    if device is not None and device.iommu_group is not None:
        _child(capability, "iommuGroup", number=str(device.iommu_group))
    for attribute in state.attributes:
        _child(capability, "attr", name=attribute.name, value=attribute.value)
    return _serialised(root)


def request_xml(uuid: str, parent_nodedev: str, type_id: str, attributes: tuple[Attribute, ...]) -> str:
    """The document from which libvirt's API creates or defines a device."""
    root = _element("device")
    _child(root, "parent", parent_nodedev)
    capability = _child(root, "capability", type="mdev")
    _child(capability, "type", id=type_id)
    _child(capability, "uuid", uuid)
    for attribute in attributes:
        _child(capability, "attr", name=attribute.name, value=attribute.value)
    return _serialised(root)


def parent_xml(parent: Parent) -> str:
    """The parent as libvirt shows it, reduced to its identity and its types.

    The schema has a place for types below PCI, CSS and AP matrix devices only. For a parent on another bus (the
    kernel's sample drivers) libvirt writes them in a form that its own schema refuses. They are left out here.
    """
    root = _element("device")
    _child(root, "name", parent.nodedev)
    _child(root, "path", parent.path)
    _child(root, "parent", parent.upper_nodedev)
    if parent.driver:
        _child(_child(root, "driver"), "name", parent.driver)
    capability = _bus_capability(root, parent)
    if capability is not None and not parent.framework.parent_is_device:
        _add_types(capability, parent.types)
    return _serialised(root)


def _bus_capability(root: _Element, parent: Parent) -> Optional[_Element]:
    """The element that carries the types: the bus's own capability."""
    pci = pci_address(parent.address)
    if pci is not None and parent.pci is not None:
        return _pci_capability(root, pci, parent.pci)
    css = css_address(parent.address)
    if css is not None:
        return _css_capability(root, css)
    if parent.address == "matrix":
        return _child(root, "capability", type="ap_matrix")
    return None


def _pci_capability(root: _Element, address: str, ids: PciIds) -> _Element:
    capability = _child(root, "capability", type="pci")
    numbers = re.split("[:.]", address)
    for tag, digits in zip(PCI_PARTS, numbers):
        _child(capability, tag, str(int(digits, 16)))
    _child(capability, "product", id=ids.product)
    _child(capability, "vendor", id=ids.vendor)
    return capability


def _css_capability(root: _Element, address: str) -> _Element:
    capability = _child(root, "capability", type="css")
    cssid, ssid, devno = address.split(".")
    _child(capability, "cssid", f"0x{cssid}")
    _child(capability, "ssid", f"0x{ssid}")
    _child(capability, "devno", f"0x{devno}")
    return capability


def _add_types(element: _Element, types: tuple[Type, ...]) -> None:
    """The types that libvirt can describe: those with a device API and a known number of instances."""
    complete = [mdev_type for mdev_type in types if mdev_type.device_api and mdev_type.available_instances is not None]
    if not complete:
        return
    capability = _child(element, "capability", type="mdev_types")
    for mdev_type in complete:
        described = _child(capability, "type", id=mdev_type.id)
        if mdev_type.name:
            _child(described, "name", mdev_type.name)
        _child(described, "deviceAPI", mdev_type.device_api)
        _child(described, "availableInstances", str(mdev_type.available_instances))


def require_lxml() -> None:
    """Raises MissingLibrary, which names the package, before anything else is done."""
    _etree()


def _etree() -> ModuleType:
    """lxml, imported on first use: a host without it can do everything but XML, and one with it starts faster."""
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingLibrary(
            "node device XML needs the Python library lxml on the host, which could not be imported "
            f"({error}). Install python3-lxml there, or leave XML out: everything else works without it",
            library="lxml",
        ) from error
    return etree


def _safe_root(text: str) -> _Element:
    etree = _etree()
    data = _GUARD.encoded(text.strip())
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root: _Element = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise _GUARD.invalid(f"it is not well-formed: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        _GUARD.refuse_dtd()
    level, depth = [root], 1
    while level:
        _GUARD.check_depth(depth)
        level, depth = [child for element in level for child in element], depth + 1
    return root


def _only_mdev_capability(root: _Element) -> _Element:
    capabilities = root.findall("capability")
    if len(capabilities) != 1:
        raise _GUARD.invalid(
            f"it has {len(capabilities)} <capability> elements below <device>, there must be exactly one of type 'mdev'"
        )
    capability_type = capabilities[0].get("type")
    if capability_type != "mdev":
        raise _GUARD.invalid(f"the capability is of type '{capability_type}', it must be 'mdev'")
    return capabilities[0]


def _at_most_one(element: _Element, tag: str) -> Optional[_Element]:
    children = element.findall(tag)
    if len(children) > 1:
        raise _GUARD.invalid(f"<{element.tag}> has {len(children)} <{tag}> elements, at most one is allowed")
    return children[0] if children else None


def _text(element: _Element, tag: str) -> Optional[str]:
    """The text of the child with this tag. None if there is no such child; an empty one is an error."""
    child = _at_most_one(element, tag)
    if child is None:
        return None
    text = (child.text or "").strip()
    if not text:
        raise _GUARD.invalid(f"<{tag}> is empty: fill it in or leave it out")
    return text


def _attribute(element: _Element) -> tuple[str, str]:
    name, value = element.get("name"), element.get("value")
    if name is None or value is None:
        raise _GUARD.invalid("each <attr> needs a name and a value: <attr name='…' value='…'/>")
    return name, value


def _element(tag: str, **attributes: str) -> _Element:
    root: _Element = _etree().Element(tag, **attributes)
    return root


def _child(parent: _Element, tag: str, text: Optional[str] = None, **attributes: str) -> _Element:
    child: _Element = _etree().SubElement(parent, tag)
    for name, value in attributes.items():
        child.set(name, value.translate(NOT_XML))
    if text is not None:
        child.text = text.translate(NOT_XML)
    return child


def _serialised(root: _Element) -> str:
    etree = _etree()
    etree.indent(root)
    return str(etree.tostring(root, encoding="unicode")) + "\n"
