# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated documents and options, whose only permitted answers are a value or an error of the collection's own."""

from __future__ import annotations

import json
import os
import random
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from ansible.errors import AnsibleError
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ansible_collections.vfio.mdev.plugins.filter.domain_mdevs import domain_mdevs
from ansible_collections.vfio.mdev.plugins.filter.fleet_report import fleet_report
from ansible_collections.vfio.mdev.plugins.filter.remap_domain_mdevs import remap_domain_mdevs
from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.registry import FRAMEWORKS
from ansible_collections.vfio.mdev.plugins.module_utils._migration.record import parse_record
from ansible_collections.vfio.mdev.plugins.module_utils._model.addresses import (
    canonical_parent,
    css_address,
    parse_uuid,
    pci_address,
)
from ansible_collections.vfio.mdev.plugins.module_utils._model.definition_text import definition_text, parse_definition
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import MdevError
from ansible_collections.vfio.mdev.plugins.module_utils._runner.arguments import DEVICE_ARGUMENTS, device_request
from ansible_collections.vfio.mdev.plugins.module_utils._xml.domain import parse_domain, remap_domain
from ansible_collections.vfio.mdev.plugins.module_utils._xml.nodedev import parse_device_xml
from faults.bench import Answer, Bench, Run, Scenario
from faults.campaign import DENIED, HANGS, TRACEBACKS, Fault, Report, Row, differences, last_lines

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
_DEFAULTS = {name: spec.get("default") for name, spec in DEVICE_ARGUMENTS.items()}
_FRAMEWORK = next(iter(FRAMEWORKS.values() if isinstance(FRAMEWORKS, Mapping) else FRAMEWORKS))

# Texts that break readers: numbers that only Python reads, lone surrogates, NUL, depth, length.
_ODD = (
    "",
    "\0",
    "\ud800",
    "\udcff",
    "\u0663",
    "\u00b2",
    "1_0",
    "+5",
    " 5",
    "-1",
    "0x",
    "0x10",
    "010",
    "9" * 5000,
    "1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    "..",
    "../../etc/passwd",
    "/",
    "remove",
    "a" * 300,
    "\n",
    "{}",
    "[" * 60_000,
    '{"a":' * 20_000,
    "00000000-0000-0000-0000-000000000000",
    UUID,
    UUID.upper(),
    OTHER,
    "0000:41:00.4",
    "nvidia-472",
    "nvidia/vgpu_params",
    "auto",
)
_letters = st.characters(exclude_categories=())
# By index: hypothesis would show all of the long texts in each message.
odd_texts = st.one_of(st.integers(0, len(_ODD) - 1).map(lambda index: _ODD[index]), st.text(_letters, max_size=20))
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), odd_texts, st.integers(10**30, 10**40))
values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_texts, inner, max_size=3), max_leaves=8
)


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text, often with parts cut out, doubled or replaced."""
    text = draw(texts)
    for _number in range(draw(st.integers(0, 2))):
        start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 20))
        part = draw(st.one_of(odd_texts, st.just(text[start : start + length] * 2)))
        text = text[:start] + part + text[start + length :]
    return text


def _attribute_lists() -> st.SearchStrategy[Any]:
    return st.one_of(values, st.lists(st.dictionaries(odd_texts, odd_texts, max_size=2), max_size=3))


_mappings = st.fixed_dictionaries(
    {"mdev_type": st.one_of(st.just("nvidia-472"), values)},
    optional={
        "start": st.one_of(st.sampled_from(("auto", "manual")), values),
        "attrs": _attribute_lists(),
        "x": values,
    },
)
definitions = st.one_of(mutated(st.one_of(_mappings, values).map(json.dumps)), odd_texts)


def _element(tag: str, inside: str = "", /, **attributes: str) -> str:
    return f"<{tag}{''.join(f' {key}={quoteattr(text)}' for key, text in attributes.items())}>{inside}</{tag}>"


@st.composite
def _node_devices(draw: st.DrawFn) -> str:
    parts = [
        _element("type", id=draw(odd_texts)),
        _element("uuid", draw(odd_texts)),
        _element("iommuGroup", number=draw(odd_texts)),
        *(_element("attr", name=draw(odd_texts), value=draw(odd_texts)) for _number in range(draw(st.integers(0, 2)))),
    ]
    chosen = "".join(part for part in parts if draw(st.integers(0, 4)))
    capability = _element("capability", chosen, type=draw(st.sampled_from(("mdev", "pci", ""))))
    return _element("device", _element("parent", draw(odd_texts)) + capability)


@st.composite
def _guests(draw: st.DrawFn) -> str:
    numbers = {name: draw(st.one_of(odd_texts, st.just("0x1"))) for name in ("domain", "bus", "slot", "function")}
    hostdevs = [
        _element("hostdev", _element("source", _element("address", uuid=draw(odd_texts))), type="mdev"),
        _element("hostdev", _element("source", _element("address", **numbers)), type="pci", managed="no"),
        _element("hostdev", _element("source"), mode="subsystem", type="mdev", model=draw(odd_texts)),
    ]
    chosen = "".join(hostdev for hostdev in hostdevs if draw(st.booleans()))
    return _element("domain", _element("name", draw(odd_texts)) + _element("devices", chosen))


node_devices = mutated(st.one_of(_node_devices(), odd_texts))
guests = mutated(st.one_of(_guests(), odd_texts))
uuid_maps = st.dictionaries(odd_texts, odd_texts, max_size=3)
records = st.one_of(
    mutated(
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("name", "guest", "source", "boot_id", "uuids", "uuid_map", "devices", "created", "version"), values
            ),
        ).map(json.dumps)
    ),
    odd_texts,
)
answers = st.dictionaries(
    st.just("gpu-1"),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("devices", "parents", "types", "summary", "definitions", "unread", "hints", "failed", "msg"), values
        ),
    ),
)


@dataclass(frozen=True)
class Target:
    """A reader and what it is fed with."""

    name: str
    texts: st.SearchStrategy[Any]
    read: Callable[[Any], object]


def _definition_and_back(text: str) -> object:
    definition = parse_definition(text, "0000:41:00.4", UUID, _FRAMEWORK)
    return definition_text(definition).encode("utf-8")


def _options(options: Mapping[str, Any]) -> object:
    return device_request({**_DEFAULTS, **options})


_options_given = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("uuid", "name", "type", "parent"), odd_texts),
        "parents": st.lists(odd_texts, max_size=3),
        "exclude_parents": st.lists(odd_texts, max_size=3),
        "attributes": st.lists(st.fixed_dictionaries({"name": odd_texts, "value": odd_texts}), max_size=3),
        "placement": st.sampled_from(("first", "pack", "spread")),
        "numa_node": st.integers(),
        "state": st.sampled_from(("present", "absent")),
        **dict.fromkeys(("active", "persistent", "autostart", "recreate"), st.booleans()),
    },
)

TARGETS = (
    Target("definition", definitions, _definition_and_back),
    Target("node device XML", node_devices, lambda text: parse_device_xml(text, device_request(_DEFAULTS))),
    Target("guest XML", guests, parse_domain),
    Target("guest XML, remapped", st.tuples(guests, uuid_maps), lambda pair: remap_domain(*pair)),
    Target("filter domain_mdevs", guests, domain_mdevs),
    Target("filter remap_domain_mdevs", st.tuples(guests, uuid_maps), lambda pair: remap_domain_mdevs(*pair)),
    Target("filter fleet_report", answers, fleet_report),
    Target("migration record", records, lambda text: parse_record(text, "/records/web.json")),
    Target("UUID", odd_texts, parse_uuid),
    Target("PCI address", odd_texts, pci_address),
    Target("channel address", odd_texts, css_address),
    Target("parent", odd_texts, canonical_parent),
    Target("options", _options_given, _options),
)


def parse_all(row: Row, report: Report, number: int, seed_number: int) -> None:
    """Feed each reader with that many generated inputs."""
    for target in TARGETS:
        places: set[str] = set()
        for value, problem in _uncaught(target, row, number, seed_number):
            text = last_lines(problem)
            place = f"{text.partition(':')[0]} {text.rpartition(' in ')[2]}"
            if place not in places:
                places.add(place)
                fault = Fault(TRACEBACKS, target.name, ascii(value)[:200], text)
                row.faults.append(fault)
                report(fault)


def _uncaught(target: Target, row: Row, number: int, seed_number: int) -> Iterator[tuple[Any, str]]:
    problems: list[tuple[Any, str]] = []

    @seed(seed_number)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.texts)
    def feed(value: Any) -> None:
        row.tried += 1
        try:
            target.read(value)
        except (MdevError, AnsibleError):
            pass
        except Exception:
            problems.append((value, traceback.format_exc()))
            return
        row.converged += 1

    feed()
    yield from problems


def _generate(strategy: st.SearchStrategy[Any], number: int, seed_number: int) -> list[Any]:
    generated: list[Any] = []

    @seed(seed_number)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        generated.append(value)

    collect()
    return generated


def read_hosts(bench: Bench, scenario: Scenario, row: Row, report: Report, number: int, dice: random.Random) -> None:
    """mdev_info on hosts whose definitions are generated: it never fails, and shows the good one."""
    texts = _generate(definitions, number * 8, dice.randrange(1 << 32))
    for start in range(0, len(texts), 8):
        bench.start(scenario)
        folder = bench.etc / "mdevctl.d" / "0000:41:00.5"
        folder.mkdir(parents=True)
        batch = texts[start : start + 8]
        for index, text in enumerate(batch):
            name = f"{index:08d}-2222-3333-4444-{start:012d}"
            (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        _odd_entries(bench, dice)
        row.tried += 1
        answer = bench.attempt(Run("mdev_info", {}))
        shown = [device["uuid"] for device in (answer.result or {}).get("devices", [])]
        name = ascii(batch)[:300]
        if not _refused_badly(answer, row, report, scenario, name):
            if answer.failed or not any(word in shown for word in scenario.foreign):
                _note(row, report, Fault(TRACEBACKS, "mdev_info", name, f"failed: {answer.message[:300]}"))
            else:
                row.converged += 1
        shutil.rmtree(folder, ignore_errors=True)


def _odd_entries(bench: Bench, dice: random.Random) -> None:
    """Things among definitions that are no files, or not named by a UUID."""
    folder = bench.etc / "mdevctl.d" / "0000:41:00.5"
    entries: list[Callable[[], object]] = [
        lambda: os.mkfifo(folder / OTHER),
        (folder / OTHER).mkdir,
        lambda: (folder / OTHER).symlink_to("/dev/zero"),
        lambda: (folder / OTHER).symlink_to(OTHER),
        lambda: (folder / f"{UUID}.bak").write_text("{}"),
        lambda: (folder / "README").write_text("by hand"),
        lambda: (bench.etc / "mdevctl.d" / "0000:41:00.6").write_text("a file"),
        lambda: os.mkdir(os.fsencode(bench.etc / "mdevctl.d") + b"/\xff\xfe"),
    ]
    dice.choice(entries)()


def _refused_badly(answer: Answer, row: Row, report: Report, scenario: Scenario, name: str) -> bool:
    if answer.hung:
        _note(row, report, Fault(HANGS, scenario.name, name, "the run did not end"))
    elif answer.traceback and "module_utils/_" in f"{answer.problem} {answer.output}":
        _note(row, report, Fault(TRACEBACKS, scenario.name, name, last_lines(answer.message)))
    else:
        return False
    return True


def options(bench: Bench, scenario: Scenario, row: Row, report: Report, number: int, seed_number: int) -> None:
    """Generated options of mdev_device: done, or refused with a host as it was before."""
    bench.start(scenario)
    before = bench.state(scenario)
    for given_options in _generate(_options_given, number, seed_number):
        row.tried += 1
        name = ascii(given_options)[:300]
        answer = bench.attempt(Run("mdev_device", {"lock_timeout": 2, **given_options}))
        if _refused_badly(answer, row, report, scenario, name):
            bench.start(scenario)
            continue
        after = bench.state(scenario)
        different = differences(before.effects, after.effects)
        if answer.failed and different:
            _note(row, report, Fault(DENIED, "mdev_device", name, f"failed, but {different}. {answer.message[:300]}"))
        else:
            row.converged += 1
        if different:
            bench.start(scenario)


def _note(row: Row, report: Report, fault: Fault) -> None:
    row.faults.append(fault)
    report(fault)
