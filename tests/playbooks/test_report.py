# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report, written by the real playbook and rendered by a real browser."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller import Controller
from dev.chromium import Page, browser
from fleet import fleet, number_uuid

SMALL = {"lab": fleet()["lab"]}

# The colours of all visible texts, each with its background.
COLOURS = """[...document.querySelectorAll("body *")]
    .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .map(element => {
        let behind = element;
        while (behind.parentElement && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
            behind = behind.parentElement;
        const background = getComputedStyle(behind).backgroundColor;
        return [getComputedStyle(element).color, background, element.outerHTML.slice(0, 80)];
    })"""
OPEN_ALL = "document.querySelectorAll('details').forEach(line => line.open = true)"


@pytest.fixture(scope="module")
def report(controller: Controller) -> Path:
    controller.play("vfio.mdev.report", fleet(), report_file="fleet.html", report_time="2026-11-25 18:00 UTC")
    return controller.folder / "fleet.html"


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(tab: Page, report: Path) -> Page:
    tab.look(width=1280)
    tab.open(report)
    return tab


def lines(page: Page, heading: str) -> list[str]:
    """The expandable lines of the section with this heading id."""
    summaries = f"document.querySelectorAll('section[aria-labelledby={heading}] summary')"
    texts: list[str] = page.read(f"[...{summaries}].map(summary => summary.innerText)")
    return texts


def cells(page: Page, heading: str) -> list[list[str]]:
    """The rows of the table in the section with this heading id."""
    rows = f"[...document.querySelector('section[aria-labelledby={heading}]').querySelectorAll('tbody tr')]"
    texts: list[list[str]] = page.read(f"{rows}.map(row => [...row.cells].map(cell => cell.innerText))")
    return texts


def line(host: str) -> str:
    """A JavaScript expression for the line of a host."""
    return f"[...document.querySelectorAll('summary')].find(line => line.querySelector('.name').innerText === '{host}')"


def section(heading: str) -> str:
    return f"document.querySelector('section[aria-labelledby={heading}]')"


def visible_hosts(page: Page) -> list[str]:
    hosts = "[...document.querySelectorAll('details.host')].filter(host => host.checkVisibility())"
    names: list[str] = page.read(f"{hosts}.map(host => host.querySelector('.name').innerText.split(' ')[0])")
    return names


def test_totals(page: Page) -> None:
    tiles = page.read("[...document.querySelectorAll('.tiles a')].map(tile => tile.innerText.split('\\n'))")
    assert tiles == [
        ["Hosts", "10", "8 answered"],
        ["Cards", "12", "7 with room, 66 functions"],
        ["Active devices", "26", "19 in use, 4 idle, 3 use unknown"],
        ["Defined devices", "19", "19 start at boot"],
        ["Drifted devices", "2", "not as defined"],
        ["Hosts to look at", "5", "2 without an answer"],
    ]
    assert page.read("document.title") == "Mediated devices of 10 hosts"
    assert page.read("document.querySelector('time').innerText") == "2026-11-25 18:00 UTC"


def test_tiles_are_links_to_places_of_the_page(page: Page) -> None:
    targets = "[...document.querySelectorAll('.tiles a')].map(tile => tile.hash.slice(1))"
    assert page.read(f"{targets}.every(id => document.getElementById(id))") is True
    underlined = "getComputedStyle(document.querySelector('.tiles span')).textDecorationLine"
    assert page.read(underlined) == "underline"


def test_what_needs_attention_comes_first(page: Page) -> None:
    headings = page.read("[...document.querySelectorAll('h2')].map(heading => heading.innerText)")
    assert headings == ["Needs attention", "Free capacity by type", "Hosts", "Device users", "Drift", "Hints"]
    rows = [(row[0], row[2]) for row in cells(page, "attention")]
    assert rows == [
        ("unreachable", "away"),
        ("broken definition", "gpu-2"),
        ("half removed", "gpu-2"),
        ("drift", "gpu-2"),
        ("use unknown", "gpu-5"),
        ("unread", "lab"),
        ("orphaned", "lab"),
        ("failed", "no-python"),
    ]
    assert "python9' was not found" in cells(page, "attention")[-1][1]
    assert {row[0] for row in cells(page, "hints")} == {"hint"}


def test_hosts_with_problems_come_first(page: Page) -> None:
    words = {text.split()[0]: text.split()[1:] for text in lines(page, "hosts")}
    assert list(words)[:6] == ["away", "gpu-2", "gpu-5", "lab", "no-python", "gpu-1"]
    assert words["away"][-3:] == ["no", "answer", "unreachable"]
    assert words["gpu-4"][-3:] == ["no", "mediated", "devices"]
    assert words["gpu-10"][-2:] == ["vendor", "VFIO"]


def test_unknown_use_is_never_idle(page: Page) -> None:
    numbers = page.read(f"[...{line('gpu-5')}.querySelectorAll('.number')].map(cell => cell.innerText)")
    assert [text.split()[-1] for text in numbers] == ["0", "3", "0", "2", "0"]
    last_cells = "document.getElementById('host-gpu-5').querySelectorAll('td:last-child')"
    states = page.read(f"[...{last_cells}].map(td => td.textContent.trim())")
    assert states.count("use unknown") == 3
    assert page.read(f"{line('gpu-5')}.querySelectorAll('.idle').length") == 0


def test_lengths_of_bars_match_their_numbers(page: Page) -> None:
    """gpu-3 has 8 devices in use, 1 idle and room for 3."""
    width = f"{line('gpu-3')}.querySelector(selector).getBoundingClientRect().width"
    total, used, idle, room = page.read(f"['.bar', '.used', '.idle', '.room'].map(selector => {width})")
    assert total > 100
    assert [round(part / total, 1) for part in (used, idle, room)] == [0.7, 0.1, 0.2]


def test_a_line_opens_with_the_keyboard(page: Page) -> None:
    table = "document.getElementById('host-gpu-1').querySelector('table')"
    assert page.read(f"{table}.checkVisibility({{contentVisibilityAuto: true}})") is False
    page.read(f"{line('gpu-1')}.focus()")
    for event in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=event, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert page.read(f"{table}.checkVisibility({{contentVisibilityAuto: true}})") is True
    rows = page.read(
        f"[...{table}.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    )
    assert [row[0].split("\n")[0] for row in rows] == ["0000:41:00.0", "0000:c1:00.0"]
    assert rows[0][4].split("\n")[0] == "NVIDIA A100-8C: 5 in use 5 defined"
    assert [row[5].replace("\N{MULTIPLICATION SIGN}", "x") for row in rows] == [
        "full",
        "10 x NVIDIA A100-4C or 5 x NVIDIA A100-8C or 1 x NVIDIA A100-40C",
    ]


def test_a_link_to_a_host_opens_its_line(page: Page) -> None:
    page.read("document.querySelector('section[aria-labelledby=drift] a[href=\"#host-gpu-2\"]').click()")
    assert page.read("document.getElementById('host-gpu-2').closest('details').open") is True


@pytest.mark.parametrize(
    ("choice", "hosts"),
    [
        ("attention", ["away", "gpu-2", "gpu-5", "lab", "no-python"]),
        ("unknown", ["gpu-5"]),
        ("room-nvidia-471", ["gpu-5", "gpu-1"]),
        ("has-nvidia-231", ["gpu-3"]),
        ("room-1148", ["gpu-10"]),
    ],
)
def test_the_filter_needs_no_script(page: Page, choice: str, hosts: list[str]) -> None:
    everything = visible_hosts(page)
    assert len(everything) == 10
    page.read(f"document.getElementById('filter').value = '{choice}'")
    assert visible_hosts(page) == hosts
    page.read("document.getElementById('filter').value = 'all'")
    assert visible_hosts(page) == everything


def test_types_users_and_drift(page: Page) -> None:
    types = [" ".join(text.split()) for text in lines(page, "types")]
    assert types[0].startswith("NVIDIA L40S-2Q 1148 in use 1 use unknown 0 idle 0 room 1 defined 0")
    [a100] = [text for text in types if "NVIDIA A100-8C" in text]
    assert a100.startswith("NVIDIA A100-8C nvidia-471 in use 5 use unknown 3 idle 0 room")
    users = cells(page, "users")
    assert users[0] == ["web-1", "qemu-system-x86_64 (4711)", "gpu-1", "NVIDIA A100-8C"]
    assert ["\N{EN DASH}", "vfio-test (77)", "lab", "Single port serial"] in users
    assert next(row for row in users if row[0] == "bank-1")[:3] == ["bank-1", "qemu-system-x86_64 (4711)", "mainframe"]
    assert cells(page, "drift") == [
        ["gpu-2", number_uuid(22), "0000:41:00.6", "type", "nvidia-471", "nvidia-468"],
        ["gpu-2", number_uuid(23), "0000:41:00.7", "active", "true", "false"],
    ]


def test_everything_is_open_in_print(page: Page) -> None:
    tables = "[...document.querySelectorAll('details table')]"
    shown = f"{tables}.filter(table => table.checkVisibility({{contentVisibilityAuto: true}})).length"
    assert page.read("document.querySelectorAll('details[open]').length") == 0
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        # The browser lays out hidden contents with its next frame.
        end = time.monotonic() + 10
        while page.read(shown) < page.read(f"{tables}.length") and time.monotonic() < end:
            time.sleep(0.1)
        assert page.read(shown) == page.read(f"{tables}.length") > 10
        assert page.read(f"{tables}.every(table => table.getBoundingClientRect().height > 10)") is True
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_boxes_that_scroll_can_be_focused(page: Page) -> None:
    page.read(OPEN_ALL)
    boxes = "[...document.querySelectorAll('main *')].filter(box => getComputedStyle(box).overflowX === 'auto')"
    assert page.read(f"{boxes}.length") > 10
    named = "(box.getAttribute('aria-label') || document.getElementById(box.getAttribute('aria-labelledby')).innerText)"
    assert page.read(f"{boxes}.every(box => box.tabIndex === 0 && {named})") is True


@pytest.mark.parametrize("dark", [False, True])
def test_parts_of_bars_have_enough_contrast(page: Page, dark: bool) -> None:
    """At least 3 to the sheet that they are on, and to each other for use and idle. WCAG 2.2, 1.4.11."""
    page.look(width=1280, dark=dark)
    style = "getComputedStyle(document.querySelector('.key.NAME')).PROPERTY"
    used, idle, doubt, room = (
        page.read(style.replace("NAME", name).replace("PROPERTY", part))
        for name, part in (
            ("used", "backgroundColor"),
            ("idle", "backgroundColor"),
            ("doubt", "borderTopColor"),
            ("room", "borderTopColor"),
        )
    )
    for behind in ("document.body", "document.querySelector('.lines')"):
        sheet = page.read(f"getComputedStyle({behind}).backgroundColor")
        assert [part for part in (used, idle, doubt, room) if contrast(part, sheet) < 3] == []
    assert contrast(used, idle) >= 3


def test_the_page_is_self_contained(page: Page, report: Path) -> None:
    """Nothing is fetched, no script runs, and the browser logs no complaints."""
    page.look(width=1280, dark=True)
    page.read(OPEN_ALL)
    requests = [event["params"] for event in page.events if event["method"] == "Network.requestWillBeSent"]
    assert [request["request"]["url"] for request in requests] == [report.resolve().as_uri()]
    complaints = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
    assert [event for event in page.events if event["method"] in complaints] == []
    assert page.read("document.scripts.length") == 0


def test_light_and_dark(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.read(background)
    page.look(width=1280, dark=True)
    assert luminance(page.read(background)) < 0.05 < 0.8 < luminance(light)


@pytest.mark.parametrize("dark", [False, True])
def test_texts_have_enough_contrast(page: Page, dark: bool) -> None:
    """At least 4.5, level AA of WCAG 2.2."""
    page.look(width=1280, dark=dark)
    page.read(OPEN_ALL)
    texts = page.read(COLOURS)
    assert len(texts) > 300
    assert [text for front, behind, text in texts if contrast(front, behind) < 4.5] == []


@pytest.mark.parametrize(("width", "frames"), [(1280, ".lines, .scroll, .inside"), (1000, ".lines"), (390, ".lines")])
def test_nothing_overflows(page: Page, width: int, frames: str) -> None:
    """On a phone, tables may be scrolled within their frames."""
    page.look(width=width)
    page.read(OPEN_ALL)
    assert page.read("document.documentElement.scrollWidth") == width
    wider = "filter(element => element.scrollWidth > element.clientWidth).length"
    assert page.read(f"[...document.querySelectorAll('{frames}')].{wider}") == 0


def test_results_of_hosts_are_shown_as_text(controller: Controller, tab: Page) -> None:
    """No result becomes HTML or a template."""
    names = ("gpu-2", "gpu-3", "lab", "no-python")
    answers = {f"{name} <i class=hostile>": hostile(fleet()[name]) for name in names}
    controller.play("vfio.mdev.report", answers, report_file="hostile.html")
    tab.open(controller.folder / "hostile.html")
    assert tab.read("document.querySelectorAll('.hostile').length") == 0
    assert tab.read("document.scripts.length") == 0
    assert cells(tab, "users")[0][0] == "train-1" + HOSTILE
    assert cells(tab, "drift")[0][0] == "gpu-2 <i class=hostile>"
    tab.read("document.querySelector('section[aria-labelledby=drift] a').click()")
    assert tab.read("document.querySelector('details[open] .name').innerText").startswith("gpu-2 <i class=hostile>")


HOSTILE = "</code><b class=hostile title='\"'>{{ 6 * 7 }}</b><script class=hostile>alert(1)</script>"


def hostile(answer: Any) -> Any:
    """The same result with markup in every text except our own words."""
    if isinstance(answer, dict):
        return {key: value if key in ("framework", "vfs") else hostile(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [hostile(value) for value in answer]
    return answer + HOSTILE if isinstance(answer, str) else answer


def test_the_page_is_written_to_the_current_folder_and_only_if_it_differs(controller: Controller) -> None:
    path = controller.folder / "vfio-mdev-report.html"
    checked = controller.play("vfio.mdev.report", SMALL, "--check", report_time="")
    assert "changed=1" in checked
    assert not path.exists()
    assert "changed=1" in controller.play("vfio.mdev.report", SMALL, report_time="")
    assert "<time>" not in path.read_text()
    assert "changed=0" in controller.play("vfio.mdev.report", SMALL, report_time="")


def test_files_for_machines_have_the_rows_of_the_page(controller: Controller) -> None:
    files = {"report_json": "small.json", "report_csv": "small.csv"}
    assert "changed=3" in controller.play("vfio.mdev.report", SMALL, report_file="small.html", report_time="", **files)
    report = json.loads((controller.folder / "small.json").read_text())
    assert (report["totals"]["hosts"], report["hosts"][0]["name"]) == (1, "lab")
    table = list(csv.DictReader((controller.folder / "small.csv").open()))
    assert [(row["type"], row["in_use"], row["idle"], row["room"]) for row in table] == [
        ("mtty-1", "1", "0", "19"),
        ("mtty-2", "0", "2", "9"),
        ("odd-1", "0", "0", ""),
    ]
    again = controller.play("vfio.mdev.report", SMALL, report_file="small.html", report_time="", **files)
    assert "changed=0" in again


def test_variables_with_unknown_names_are_refused_before_anything_is_read(controller: Controller) -> None:
    with pytest.raises(AssertionError) as refused:
        controller.play("vfio.mdev.report", SMALL, report_fiel="x.html")
    assert "report_fiel is unknown: did you mean report_file? (usage: ansible-playbook vfio.mdev.report" in str(
        refused.value
    )
    assert "Retrieve the mediated devices" not in str(refused.value)


def test_an_old_answer_costs_its_row_only(controller: Controller, tab: Page) -> None:
    old = {key: value for key, value in fleet()["gpu-1"].items() if key != "cards"}
    controller.play("vfio.mdev.report", {**SMALL, "old": old}, report_file="old.html")
    tab.open(controller.folder / "old.html")
    assert [row[0] for row in cells(tab, "attention")] == ["unread", "orphaned", "failed"]
    assert "not one of this version of mdev_info" in cells(tab, "attention")[-1][1]


def luminance(colour: str) -> float:
    """Of 'rgb(1, 2, 3)', between 0 and 1. Source: WCAG 2.2, relative luminance."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(front: str, behind: str) -> float:
    darker, lighter = sorted((luminance(front), luminance(behind)))
    return (lighter + 0.05) / (darker + 0.05)
