# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of an AP device, compared with a driver that behaves like vfio_ap_ops.c."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

import pytest
from builders import UUID, define, device, inventory, mdev_type, parent
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.drivers.ap_matrix import (
    attributes_of,
    matrix_changes,
    matrix_of,
    matrix_read,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.device_state import State
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput, Mismatch
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import (
    Attribute,
    Inventory,
    LiveAttribute,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import DeviceRequest
from ansible_collections.vfio.mdev.plugins.module_utils._planning.drift import find_drift
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import Define, DevicePlan, WriteAttribute

TYPE = "vfio_ap-passthrough"
# Adapters 0 and 5, domain 4, control domain 255.
MASKS = f"0x84{'0' * 62},0x08{'0' * 62},0x{'0' * 63}1"


def attributes(text: str) -> tuple[Attribute, ...]:
    """Attributes from 'adapter=5 -domain=4 ap_config=...'."""
    pairs = (word.split("=", 1) for word in text.split())
    return tuple(Attribute(_name(name), value) for name, value in pairs)


def _name(short: str) -> str:
    if short.startswith("-"):
        return f"unassign_{short[1:]}"
    return f"assign_{short}" if short.endswith(("adapter", "domain")) else short


def written(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"{attribute.name}={attribute.value}" for attribute in attributes]


@dataclass
class Driver:
    """The matrix of a device, and the two files that show it."""

    adapters: set[int] = field(default_factory=set)
    domains: set[int] = field(default_factory=set)
    control_domains: set[int] = field(default_factory=set)

    def write(self, name: str, value: str) -> None:
        if name == "ap_config":
            self.adapters, self.domains, self.control_domains = (
                {bit for bit in range(256) if mask >> (255 - bit) & 1}
                for mask in (int(digits.lower().replace("0x", "").ljust(64, "0"), 16) for digits in value.split(","))
            )
            return
        verb, unit = name.split("_", 1)
        numbers: set[int] = getattr(self, f"{unit}s")
        number = int(value, 8) if value.startswith("0") and value.isdigit() else int(value, 0)
        (numbers.add if verb == "assign" else numbers.discard)(number)

    def matrix(self) -> str:
        if not self.adapters or not self.domains:
            lines = [f"{adapter:02x}." for adapter in sorted(self.adapters)]
            lines += [f".{domain:04x}" for domain in sorted(self.domains)]
        else:
            lines = [
                f"{adapter:02x}.{domain:04x}" for adapter in sorted(self.adapters) for domain in sorted(self.domains)
            ]
        return "".join(f"{line}\n" for line in lines)

    def control(self) -> str:
        return "".join(f"{domain:04x}\n" for domain in sorted(self.control_domains))

    def read(self) -> Any:
        # An empty file reads as None.
        return matrix_read(self.matrix().strip() or None, self.control().strip() or None)


@pytest.mark.parametrize(
    ("matrix", "control", "assigned"),
    [
        (None, None, ""),
        ("05.0004\n05.0047\n06.0004\n06.0047", None, "adapter=0x05 adapter=0x06 domain=0x0004 domain=0x0047"),
        ("05.\nff.", None, "adapter=0x05 adapter=0xff"),
        (".0004\n.00ab", None, "domain=0x0004 domain=0x00ab"),
        (None, "0004\n00ab", "control_domain=0x0004 control_domain=0x00ab"),
        ("05.0004", "0004", "adapter=0x05 domain=0x0004 control_domain=0x0004"),
        # Text that no driver writes is ignored.
        ("garbage\n05.0004\n\n.", "-\n0x1", "adapter=0x05 domain=0x0004"),
    ],
)
def test_reading_the_matrix(matrix: Optional[str], control: Optional[str], assigned: str) -> None:
    assert attributes_of(matrix_read(matrix, control)) == attributes(assigned)


@pytest.mark.parametrize(
    ("written_as", "number"),
    [("5", 5), ("0x5", 5), ("0X0f", 15), ("+5", 5), ("010", 8), ("0", 0), ("00", 0), ("255", 255)],
)
def test_numbers_are_parsed_as_in_the_kernel(written_as: str, number: int) -> None:
    assert [assignment.number for assignment in matrix_of(attributes(f"adapter={written_as}"))] == [number]


@pytest.mark.parametrize(
    ("has", "requested", "writes"),
    [
        ("", "adapter=5 domain=4", "adapter=5 domain=4"),
        ("", "domain=4 adapter=6 adapter=5", "domain=4 adapter=6 adapter=5"),
        ("adapter=5 domain=4", "adapter=0x05 domain=0x4", ""),
        ("adapter=5 domain=4", "adapter=6 domain=4", "-adapter=0x05 adapter=6"),
        ("adapter=5 adapter=6 domain=4", "domain=0xab adapter=5", "-adapter=0x06 -domain=0x0004 domain=0xab"),
        ("control_domain=4", "", "-control_domain=0x0004"),
        ("", "adapter=5 adapter=0x5", "adapter=0x5"),
        ("", "adapter=5 -adapter=5", ""),
        ("adapter=0 adapter=5 domain=4 control_domain=255", f"ap_config={MASKS}", ""),
        ("adapter=0 adapter=5 domain=4 control_domain=255", f"ap_config={MASKS.upper().replace('0X', '')}", ""),
        ("adapter=0 domain=0", "ap_config=0x8,0x8,0", ""),
        ("adapter=0", f"ap_config={MASKS}", f"ap_config={MASKS}"),
        ("adapter=0", "ap_config=80,80,00 adapter=1", "ap_config=80,80,00 adapter=1"),
        ("adapter=0 domain=0 adapter=1", "ap_config=80,80,00 adapter=1", ""),
        # Attributes that do not belong to the matrix are ignored.
        ("adapter=5", "power/control=auto adapter=5", ""),
    ],
)
def test_writes(has: str, requested: str, writes: str) -> None:
    changes = matrix_changes(attributes(requested), matrix_of(attributes(has)))
    assert [change.write for change in changes] == list(attributes(writes))


NUMBERS = st.integers(0, 255)
SPELLED = st.builds(
    lambda number, spell: spell(number), NUMBERS, st.sampled_from([str, hex, "0x{:04X}".format, "0{:o}".format])
)
NAMES = st.sampled_from(
    [f"{verb}_{unit}" for verb in ("assign", "unassign") for unit in ("adapter", "domain", "control_domain")]
)
ASSIGNMENTS = st.builds(Attribute, NAMES, SPELLED)
CONFIGS = st.builds(
    lambda digits: Attribute("ap_config", ",".join(digits)),
    st.lists(st.text("0123456789abcdefABCDEF", min_size=1, max_size=64), min_size=3, max_size=3),
)
REQUESTED = st.lists(ASSIGNMENTS | CONFIGS, max_size=8).map(tuple)
DRIVERS = st.builds(Driver, st.sets(NUMBERS, max_size=6), st.sets(NUMBERS, max_size=6), st.sets(NUMBERS, max_size=6))


@given(REQUESTED, DRIVERS)
def test_the_writes_produce_the_request_and_their_undo_restores_the_matrix(
    requested: tuple[Attribute, ...], driver: Driver
) -> None:
    new_driver = Driver()
    for attribute in requested:
        new_driver.write(attribute.name, attribute.value)
    before = driver.read()
    changes = matrix_changes(requested, before)
    for change in changes:
        driver.write(change.write.name, change.write.value)
    assert driver == new_driver
    assert matrix_changes(requested, driver.read()) == ()
    for change in reversed(changes):
        driver.write(change.undo.name, change.undo.value)
    assert driver.read() == before


def host(has: str = "", defined: Optional[str] = None, active: bool = True) -> Inventory:
    existing = device(UUID, "matrix", TYPE, device_api="vfio-ap", attributes=attributes_of(matrix_of(attributes(has))))
    stored = () if defined is None else (define(UUID, "matrix", TYPE, attributes=attributes(defined)),)
    matrix = parent("matrix", mdev_type(TYPE, 4, api="vfio-ap"), subsystem="matrix")
    return inventory(matrix, devices=(existing,) if active else (), definitions=stored)


def planned(
    inventory_: Inventory, requested: Optional[str], live: tuple[LiveAttribute, ...] = (), **more: Any
) -> DevicePlan:
    values = None if requested is None else attributes(requested)
    request = DeviceRequest(UUID, type=TYPE, attributes=values, **more)
    [plan] = plan_devices((request,), inventory_, {UUID: live}).devices
    return plan


def test_a_change_is_reported() -> None:
    plan = planned(host("adapter=5 domain=4", "adapter=5 domain=4"), "adapter=0x5 domain=0xab", persistent=True)
    assert [(drift.field, drift.wanted, drift.actual) for drift in plan.drift[1:]] == [("domains", "0x00ab", "0x0004")]
    unassign, assign, define = plan.additions
    assert isinstance(unassign, WriteAttribute)
    assert isinstance(assign, WriteAttribute)
    assert isinstance(define, Define)
    assert written((unassign.change.write, assign.change.write)) == ["unassign_domain=0x0004", "assign_domain=0xab"]
    assert written((unassign.change.undo, assign.change.undo)) == ["assign_domain=0x0004", "unassign_domain=0xab"]
    assert define.definition.attributes == attributes("adapter=0x5 domain=0xab")
    assert plan.before.device is not None
    assert plan.after.device is not None
    assert plan.before.device.attributes == attributes("adapter=0x5 domain=0x0004")
    assert plan.after.device.attributes == attributes("adapter=0x5 domain=0xab")


@pytest.mark.parametrize(
    ("requested", "writes"),
    [
        (None, []),
        ("", ["unassign_adapter=0x05"]),
        ("adapter=5", []),
        ("power/control=on adapter=6", ["power/control=on", "unassign_adapter=0x05", "assign_adapter=6"]),
    ],
)
def test_only_requested_attributes_are_changed(requested: Optional[str], writes: list[str]) -> None:
    live = {
        "power/control": LiveAttribute("power/control", True, True, True, "auto"),
        "assign_adapter": LiveAttribute("assign_adapter", True, False, True),
    }
    names = [attribute.name for attribute in attributes(requested or "")]
    plan = planned(host("adapter=5"), requested, tuple(live[name] for name in names))
    assert written(tuple(step.change.write for step in plan.additions if isinstance(step, WriteAttribute))) == writes
    assert plan.before == plan.after or writes


def test_a_device_that_is_defined_later_keeps_its_matrix() -> None:
    [define] = planned(host("domain=4 adapter=5"), None, persistent=True).additions
    assert isinstance(define, Define)
    assert define.definition.attributes == attributes("adapter=0x05 domain=0x0004")


def test_ap_config_is_compared_through_the_matrix() -> None:
    live = (LiveAttribute("ap_config", True, True, True, MASKS),)
    plan = planned(host("adapter=0 adapter=5 domain=4 control_domain=255"), f"ap_config={MASKS.upper()}", live)
    assert (plan.additions, plan.drift, plan.before) == ((), (), plan.after)


def test_an_attribute_that_an_old_driver_lacks() -> None:
    with pytest.raises(Mismatch, match="the driver has no such attribute"):
        planned(host(), f"ap_config={MASKS}", (LiveAttribute("ap_config", exists=False),))


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ("adapter=five", "'assign_adapter' of an AP device can't be set to 'five': the driver expects a number"),
        ("domain=08", "octal with a leading 0"),
        ("-domain=-1", "can't be set to '-1'"),
        ("control_domain=0x", "can't be set to '0x'"),
        ("adapter=1_0", "can't be set to '1_0'"),
        ("ap_config=0x80,0x80", "three hexadecimal masks"),
        (f"ap_config={'0' * 65},0,0", "three hexadecimal masks"),
    ],
)
def test_values_that_the_driver_cannot_parse(requested: str, message: str, active: bool) -> None:
    with pytest.raises(InvalidInput, match=message):
        planned(host(active=active), requested)


@pytest.mark.parametrize("active", [True, False])
def test_equal_attribute_names_of_other_drivers_are_not_interpreted(active: bool) -> None:
    other = parent("mtty", mdev_type(TYPE, 4, api="vfio-pci"))
    existing = inventory(other, devices=(device(UUID, "mtty", TYPE, device_api="vfio-pci"),) if active else ())
    live = (LiveAttribute("assign_adapter", True, True, True, "none"),)
    steps = planned(existing, "adapter=five", live).additions
    assert len(steps) == 1
    assert isinstance(steps[0], WriteAttribute) == active


@pytest.mark.parametrize(
    ("has", "defined", "drift"),
    [
        ("adapter=5 domain=4", "domain=0x4 adapter=5", []),
        ("adapter=5", "adapter=5 domain=4", [("domains", "0x0004", "none")]),
        (
            "adapter=5 control_domain=1",
            "adapter=broken",
            [("adapters", "none", "0x05"), ("control domains", "none", "0x0001")],
        ),
    ],
)
def test_drift_between_matrix_and_definition(has: str, defined: str, drift: list[tuple[str, str, str]]) -> None:
    existing = host(has, defined)
    drifts = find_drift(State(existing.devices[0], existing.definitions[0]), existing)
    assert [(entry.field, entry.wanted, entry.actual) for entry in drifts] == drift
