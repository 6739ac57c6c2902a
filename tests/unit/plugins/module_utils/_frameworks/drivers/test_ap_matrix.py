# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an AP device has, against a driver that answers as vfio_ap_ops.c says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

import pytest
from builders import UUID, device, inventory, kind, parent
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
    Definition,
    Inventory,
    LiveAttribute,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.request import Wanted
from ansible_collections.vfio.mdev.plugins.module_utils._planning.drift import disagreement
from ansible_collections.vfio.mdev.plugins.module_utils._planning.planner import plan_devices
from ansible_collections.vfio.mdev.plugins.module_utils._planning.steps import Define, DevicePlan, WriteAttribute

TYPE = "vfio_ap-passthrough"
# Adapters 0 and 5, domain 4, control domain 255.
MASKS = f"0x84{'0' * 62},0x08{'0' * 62},0x{'0' * 63}1"


def attributes(text: str) -> tuple[Attribute, ...]:
    """From 'adapter=5 -domain=4 ap_config=...'."""
    pairs = (one.split("=", 1) for one in text.split())
    return tuple(Attribute(_name(name), value) for name, value in pairs)


def _name(short: str) -> str:
    if short.startswith("-"):
        return f"unassign_{short[1:]}"
    return f"assign_{short}" if short.endswith(("adapter", "domain")) else short


def written(names: tuple[Attribute, ...]) -> list[str]:
    return [f"{one.name}={one.value}" for one in names]


@dataclass
class Driver:
    """What a device has, and the two files that tell it."""

    adapters: set[int] = field(default_factory=set)
    domains: set[int] = field(default_factory=set)
    control_domains: set[int] = field(default_factory=set)

    def write(self, name: str, value: str) -> None:
        if name == "ap_config":
            self.adapters, self.domains, self.control_domains = (
                {bit for bit in range(256) if mask >> (255 - bit) & 1}
                for mask in (int(one.lower().replace("0x", "").ljust(64, "0"), 16) for one in value.split(","))
            )
            return
        verb, unit = name.split("_", 1)
        numbers: set[int] = getattr(self, f"{unit}s")
        number = int(value, 8) if value.startswith("0") and value.isdigit() else int(value, 0)
        (numbers.add if verb == "assign" else numbers.discard)(number)

    def matrix(self) -> str:
        if not self.adapters or not self.domains:
            lines = [f"{one:02x}." for one in sorted(self.adapters)] + [f".{one:04x}" for one in sorted(self.domains)]
        else:
            lines = [f"{one:02x}.{two:04x}" for one in sorted(self.adapters) for two in sorted(self.domains)]
        return "".join(f"{line}\n" for line in lines)

    def control(self) -> str:
        return "".join(f"{one:04x}\n" for one in sorted(self.control_domains))

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
        # What a driver never says is passed over.
        ("garbage\n05.0004\n\n.", "-\n0x1", "adapter=0x05 domain=0x0004"),
    ],
)
def test_what_the_files_tell(matrix: Optional[str], control: Optional[str], assigned: str) -> None:
    assert attributes_of(matrix_read(matrix, control)) == attributes(assigned)


@pytest.mark.parametrize(
    ("given_as", "number"),
    [("5", 5), ("0x5", 5), ("0X0f", 15), ("+5", 5), ("010", 8), ("0", 0), ("00", 0), ("255", 255)],
)
def test_numbers_are_those_of_the_kernel(given_as: str, number: int) -> None:
    assert [one.number for one in matrix_of(attributes(f"adapter={given_as}"))] == [number]


@pytest.mark.parametrize(
    ("has", "wanted", "writes"),
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
        # What is no attribute of the matrix is none of its business.
        ("adapter=5", "power/control=auto adapter=5", ""),
    ],
)
def test_what_is_written(has: str, wanted: str, writes: str) -> None:
    changes = matrix_changes(attributes(wanted), matrix_of(attributes(has)))
    assert [one.write for one in changes] == list(attributes(writes))


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
WANTED = st.lists(ASSIGNMENTS | CONFIGS, max_size=8).map(tuple)
DRIVERS = st.builds(Driver, st.sets(NUMBERS, max_size=6), st.sets(NUMBERS, max_size=6), st.sets(NUMBERS, max_size=6))


@given(WANTED, DRIVERS)
def test_the_writes_give_what_was_wanted_and_their_undo_what_was_there(
    wanted: tuple[Attribute, ...], driver: Driver
) -> None:
    fresh = Driver()
    for one in wanted:
        fresh.write(one.name, one.value)
    before = driver.read()
    changes = matrix_changes(wanted, before)
    for change in changes:
        driver.write(change.write.name, change.write.value)
    assert driver == fresh
    assert matrix_changes(wanted, driver.read()) == ()
    for change in reversed(changes):
        driver.write(change.undo.name, change.undo.value)
    assert driver.read() == before


def host(has: str = "", defined: Optional[str] = None, active: bool = True) -> Inventory:
    mine = device(UUID, "matrix", TYPE, device_api="vfio-ap", attributes=attributes_of(matrix_of(attributes(has))))
    stored = () if defined is None else (Definition(UUID, "matrix", TYPE, attributes=attributes(defined)),)
    matrix = parent("matrix", kind(TYPE, 4, api="vfio-ap"), subsystem="matrix")
    return inventory(matrix, devices=(mine,) if active else (), definitions=stored)


def planned(there: Inventory, wanted: Optional[str], live: tuple[LiveAttribute, ...] = (), **more: Any) -> DevicePlan:
    asked = Wanted(UUID, type=TYPE, attributes=None if wanted is None else attributes(wanted), **more)
    [plan] = plan_devices((asked,), there, {UUID: live}).devices
    return plan


def test_a_change_is_told_and_shown() -> None:
    plan = planned(host("adapter=5 domain=4", "adapter=5 domain=4"), "adapter=0x5 domain=0xab", persistent=True)
    assert [(one.field, one.wanted, one.actual) for one in plan.drift[1:]] == [("domains", "0x00ab", "0x0004")]
    unassign, assign, define = plan.coming
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
    ("wanted", "writes"),
    [
        (None, []),
        ("", ["unassign_adapter=0x05"]),
        ("adapter=5", []),
        ("power/control=on adapter=6", ["power/control=on", "unassign_adapter=0x05", "assign_adapter=6"]),
    ],
)
def test_only_what_was_said_is_changed(wanted: Optional[str], writes: list[str]) -> None:
    live = {
        "power/control": LiveAttribute("power/control", True, True, True, "auto"),
        "assign_adapter": LiveAttribute("assign_adapter", True, False, True),
    }
    names = [one.name for one in attributes(wanted or "")]
    plan = planned(host("adapter=5"), wanted, tuple(live[name] for name in names))
    assert written(tuple(one.change.write for one in plan.coming if isinstance(one, WriteAttribute))) == writes
    assert plan.before == plan.after or writes


def test_a_device_that_is_defined_later_keeps_what_it_has() -> None:
    [define] = planned(host("domain=4 adapter=5"), None, persistent=True).coming
    assert isinstance(define, Define)
    assert define.definition.attributes == attributes("adapter=0x05 domain=0x0004")


def test_ap_config_is_compared_through_the_matrix() -> None:
    live = (LiveAttribute("ap_config", True, True, True, MASKS),)
    plan = planned(host("adapter=0 adapter=5 domain=4 control_domain=255"), f"ap_config={MASKS.upper()}", live)
    assert (plan.coming, plan.drift, plan.before) == ((), (), plan.after)


def test_an_attribute_that_an_old_driver_has_not() -> None:
    with pytest.raises(Mismatch, match="the driver has no such attribute"):
        planned(host(), f"ap_config={MASKS}", (LiveAttribute("ap_config", exists=False),))


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("adapter=five", "'assign_adapter' of an AP device can't be 'five': give a number"),
        ("domain=08", "octal with a leading 0"),
        ("-domain=-1", "can't be '-1'"),
        ("control_domain=0x", "can't be '0x'"),
        ("adapter=1_0", "can't be '1_0'"),
        ("ap_config=0x80,0x80", "three hexadecimal masks"),
        (f"ap_config={'0' * 65},0,0", "three hexadecimal masks"),
    ],
)
def test_values_that_the_driver_could_not_read(wanted: str, message: str, active: bool) -> None:
    with pytest.raises(InvalidInput, match=message):
        planned(host(active=active), wanted)


@pytest.mark.parametrize("active", [True, False])
def test_the_same_names_of_other_drivers_mean_what_these_say(active: bool) -> None:
    other = parent("mtty", kind(TYPE, 4, api="vfio-pci"))
    there = inventory(other, devices=(device(UUID, "mtty", TYPE, device_api="vfio-pci"),) if active else ())
    live = (LiveAttribute("assign_adapter", True, True, True, "none"),)
    steps = planned(there, "adapter=five", live).coming
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
def test_a_matrix_that_is_not_as_defined(has: str, defined: str, drift: list[tuple[str, str, str]]) -> None:
    there = host(has, defined)
    found = disagreement(State(there.devices[0], there.definitions[0]), there)
    assert [(one.field, one.wanted, one.actual) for one in found] == drift
