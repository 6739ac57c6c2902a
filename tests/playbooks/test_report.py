# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report, written by the real playbook and rendered by a real browser."""

from __future__ import annotations

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


def test_totals(page: Page) -> None:
    tiles = page.read("[...document.querySelectorAll('.tiles > div')].map(tile => tile.innerText.split('\\n'))")
    assert tiles == [
        ["Hosts", "9", "7 answered"],
        ["Parents", "56", "32 with room"],
        ["Active devices", "23", "19 in use"],
        ["Defined devices", "19", "19 start at boot"],
        ["Drifted devices", "2", "not as defined"],
        ["Hosts with problems", "4", "2 without an answer"],
    ]
    assert page.read("document.title") == "Mediated devices of 9 hosts"
    assert page.read("document.querySelector('time').innerText") == "2026-11-25 18:00 UTC"


def test_every_host_has_a_line(page: Page) -> None:
    words = {text.split()[0]: text.split()[1:] for text in lines(page, "hosts")}
    assert list(words) == ["away", "gpu-1", "gpu-2", "gpu-3", "gpu-4", "gpu-10", "lab", "mainframe", "no-python"]
    assert words["away"] == ["no", "answer", "unreachable"]
    assert words["no-python"] == ["no", "answer", "failed"]
    assert words["gpu-4"] == ["no", "mediated", "devices"]
    assert "parents 2 in use 1" in " ".join(words["gpu-10"])
    assert words["gpu-10"][-2:] == ["vendor", "VFIO"]
    assert words["gpu-2"][-4:] == ["2", "drifted", "2", "problems"]


def test_lengths_of_bars_match_their_numbers(page: Page) -> None:
    """gpu-3 has 8 devices in use, 1 idle and room for 3."""
    numbers = page.read(
        f"[...{line('gpu-3')}.querySelectorAll('.number')].map(cell => cell.innerText.match(/\\d+/)[0])"
    )
    assert numbers == ["2", "8", "1", "3", "9"]
    width = f"{line('gpu-3')}.querySelector(selector).getBoundingClientRect().width"
    total, used, idle = page.read(f"['.bar', '.used', '.idle'].map(selector => {width})")
    assert total > 100
    assert [round(used / total, 2), round(idle / total, 2)] == [0.67, 0.08]


def test_a_line_opens_with_the_keyboard(page: Page) -> None:
    table = "document.getElementById('host-gpu-1').querySelector('table')"
    assert page.read(f"{table}.checkVisibility({{contentVisibilityAuto: true}})") is False
    page.read(f"{line('gpu-1')}.focus()")
    for event in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=event, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert page.read(f"{table}.checkVisibility({{contentVisibilityAuto: true}})") is True
    rows = page.read(f"[...{table}.querySelectorAll('tbody tr')].map(row => row.innerText.split(/[\\n\\t]+/))")
    assert rows[0] == [
        "5 identical functions",
        "0000:41:00.4 to 0000:41:01.0",
        "on card 0000:41:00.0",
        "2 types without room",
        *("nvidia", "0", "NVIDIA A100-8C nvidia-471", "5", "0", "0", "5"),
    ]


def test_a_link_to_a_host_opens_its_line(page: Page) -> None:
    page.read("document.querySelector('section[aria-labelledby=drift] a[href=\"#host-gpu-2\"]').click()")
    assert page.read("document.getElementById('host-gpu-2').closest('details').open") is True


def test_types_users_drift_and_notes(page: Page) -> None:
    [a100] = [text for text in lines(page, "types") if "NVIDIA A100-8C" in text]
    assert " ".join(a100.split()) == ("NVIDIA A100-8C nvidia-471 parents 48 in use 5 idle 0 room 5 defined 6 vfio-pci")
    users = cells(page, "users")
    assert users[0] == ["web-1", "qemu-system-x86_64 (4711)", "gpu-1", "NVIDIA A100-8C", "0000:41:00.4", number_uuid(0)]
    assert ["\N{EN DASH}", "vfio-test (77)", "lab", "Single port serial", "mtty", number_uuid(50)] in users
    assert cells(page, "drift") == [
        ["gpu-2", number_uuid(22), "0000:41:00.6", "type", "nvidia-471", "nvidia-468"],
        ["gpu-2", number_uuid(23), "0000:41:00.7", "active", "true", "false"],
    ]
    notes = cells(page, "notes")
    assert [note[:2] for note in notes] == [
        ["away", "unreachable"],
        ["gpu-2", "broken definition"],
        ["gpu-2", "half removed"],
        ["lab", "unread"],
        ["no-python", "failed"],
        ["gpu-4", "hint"],
        ["gpu-10", "hint"],
    ]
    assert "python9' was not found" in notes[4][2]


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
    assert tab.read("document.querySelector('details[open] .name').innerText") == "gpu-2 <i class=hostile>"


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


def luminance(colour: str) -> float:
    """Of 'rgb(1, 2, 3)', between 0 and 1. Source: WCAG 2.2, relative luminance."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(front: str, behind: str) -> float:
    darker, lighter = sorted((luminance(front), luminance(behind)))
    return (lighter + 0.05) / (darker + 0.05)
