# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests that should be migrated and how, as options of modules: their specification, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from .._model.addresses import parse_uuid
from .._model.errors import InvalidInput
from .._model.request import DeviceRequest, checked_attributes
from .._model.versions import Versions
from .._runner.arguments import PLACEMENT_ARGUMENTS, Spec, placement_options
from .._xml.domain import Domain, device_id, parse_domain
from .request import SAME, UUID_POLICIES, Guest, GuestDevice, MigrationRequest


def _texts(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {name: {"type": "str"} for name in names}


_ATTRIBUTE = {"name": {"type": "str", "required": True}, "value": {"type": "str", "required": True}}
_DEVICE = {
    **_texts(["uuid", "function", "type", "type_name", "device_api", "driver", "alias", "model", "address"]),
    "can_migrate": {"type": "bool"},
    "can_quiesce": {"type": "bool"},
    "attributes": {"type": "list", "elements": "dict", "default": [], "options": _ATTRIBUTE},
}
_RETRIEVED_GUEST = {
    **_texts(["name", "uuid", "state", "error"]),
    # Without defaults, null is accepted too. That is what mdev_guest_info returns for a guest with an error.
    "running": {"type": "bool"},
    "migrating": {"type": "bool"},
    "command_line_devices": {"type": "list", "elements": "str", "default": []},
    "devices": {"type": "list", "elements": "dict", "options": _DEVICE},
    "cpu": {"type": "dict", "options": _texts(["virttype", "arch", "machine", "xml"])},
}

_GUEST = {**_RETRIEVED_GUEST, **_texts(["xml", "persistent_xml"])}

# The guests, and how the destination should be prepared for them.
REQUEST_ARGUMENTS: Spec = {
    # Guests' XML can contain passwords. Without no_log, Ansible writes the option to the host's log.
    "guests": {"type": "list", "elements": "dict", "default": [], "options": _GUEST, "no_log": True},
    "source_versions": {
        "type": "dict",
        "default": {},
        "options": {**_texts(["kernel", "libvirt", "qemu"]), "drivers": {"type": "dict", "default": {}}},
    },
    "uuid_policy": {"type": "str", "choices": list(UUID_POLICIES), "default": SAME},
    "uuid_map": {"type": "dict", "default": {}},
    "type_map": {"type": "dict", "default": {}},
    **{name: spec for name, spec in PLACEMENT_ARGUMENTS.items() if name != "parent"},
    "driver_match": {"type": "str", "choices": ["exact", "ignore"], "default": "exact"},
}

# The same for a question: guests as mdev_guest_info returns them, without their XML.
QUESTION_ARGUMENTS: Spec = {
    **REQUEST_ARGUMENTS,
    "guests": {"type": "list", "elements": "dict", "required": True, "options": _RETRIEVED_GUEST},
}


@dataclass(frozen=True)
class GuestInputs:
    """The guests as given, with the XML of each by its UUID."""

    guests: tuple[Guest, ...] = ()
    xml: tuple[tuple[str, Optional[str], Optional[str]], ...] = ()

    def xml_of(self, uuid: str) -> tuple[Optional[str], Optional[str]]:
        """The guest's XML, and its persistent XML."""
        return next(((live, persistent) for guest, live, persistent in self.xml if guest == uuid), (None, None))


def guest_inputs(params: dict[str, Any]) -> GuestInputs:
    """The guests to prepare for. Problems with one are errors before anything is looked at."""
    guests = [_guest(given) for given in params["guests"]]
    for names in ([guest.name for guest in guests], [guest.uuid for guest in guests if guest.uuid]):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput(f"guest {', '.join(twice)} is given twice", guest=twice[0])
    xml = tuple(
        (guest.uuid, given.get("xml"), given.get("persistent_xml")) for guest, given in zip(guests, params["guests"])
    )
    return GuestInputs(tuple(guests), xml)


def _guest(given: dict[str, Any]) -> Guest:
    domain = parse_domain(given["xml"]) if given.get("xml") else None
    guest = _named_guest(given, domain)
    if guest.error:
        return guest
    known = {_id(device, guest.name): device for device in given["devices"] or []}
    ids = list(known)
    if domain is not None:
        # Of a guest's PCI functions only those that devices names are vGPUs.
        vgpus = [device.function for device in domain.functions if device.function in known]
        ids = [*(device.uuid for device in domain.mdevs), *vgpus]
    unknown = [name for name in ids if not (known.get(name) or {}).get("type")]
    if unknown:
        raise InvalidInput(
            f"guest {guest.name}: the type of device {', '.join(unknown)} is unknown. The source host has no such "
            "device or could not be queried. Start the guest there, or set type in devices",
            guest=guest.name,
            unknown=unknown,
        )
    return replace(guest, devices=tuple(_device(name, known[name]) for name in ids))


def _named_guest(given: dict[str, Any], domain: Optional[Domain]) -> Guest:
    """The guest without its devices."""
    name = given["name"] or (domain.name if domain else "")
    if not name or "/" in name or "\0" in name:
        text = f"'{name}' can't name a guest: give name, or xml with a <name>. libvirt allows no '/'"
        raise InvalidInput(text, guest=name)
    command_line = given["command_line_devices"] or []
    return Guest(
        name=name,
        running=given["running"] is not False,
        devices=(),
        uuid=_guest_uuid(given["uuid"], domain, name),
        command_line=tuple(dict.fromkeys([*command_line, *(domain.command_line if domain else ())])),
        error=given["error"] or "",
    )


def _guest_uuid(given: Optional[str], domain: Optional[Domain], name: str) -> str:
    """The guest's UUID; empty if neither the option nor the XML has it."""
    uuid = parse_uuid(given) if given else ""
    if uuid and domain is not None and domain.uuid not in ("", uuid):
        raise InvalidInput(f"guest {name}: uuid is {uuid}, but xml is that of guest {domain.uuid}", guest=name)
    return uuid or (domain.uuid if domain is not None else "")


def _id(given: dict[str, Any], guest: str) -> str:
    """The device's name in the guest's XML. Ansible counts null as given, so it can't check this."""
    names = [name for name in (given["uuid"], given["function"]) if name]
    if len(names) != 1:
        raise InvalidInput(f"guest {guest}: a device needs either uuid or function, and has {len(names)} of them")
    return device_id(names[0])


def _device(name: str, given: dict[str, Any]) -> GuestDevice:
    return GuestDevice(
        id=name,
        type_id=given["type"],
        type_name=given["type_name"],
        device_api=given["device_api"],
        driver=given["driver"],
        attributes=checked_attributes([(pair["name"], pair["value"]) for pair in given["attributes"]]),
        can_migrate=given["can_migrate"],
        can_quiesce=given["can_quiesce"],
    )


def migration_request(params: dict[str, Any], guests: tuple[Guest, ...]) -> MigrationRequest:
    """What should be prepared."""
    return MigrationRequest(
        source=params["source"],
        guests=guests,
        versions=_versions(params["source_versions"]),
        uuid_policy=params["uuid_policy"],
        uuid_map={str(source): str(target) for source, target in params["uuid_map"].items()},
        type_map=params["type_map"],
        pattern=DeviceRequest(**placement_options({"parent": None, **params})),
        drivers_must_match=params["driver_match"] == "exact",
    )


def _versions(given: dict[str, Any]) -> Optional[Versions]:
    return Versions(**{name: value for name, value in given.items() if value is not None}) if given else None
