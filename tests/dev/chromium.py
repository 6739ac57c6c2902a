# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chromium without a window, controlled over a pair of pipes: shows a page as a reader sees it.

Its DevTools protocol, JSON messages that end with a zero byte (--remote-debugging-pipe), needs no driver or library.
Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.process import end_group

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Root needs --no-sandbox. The other options keep the browser from calling home.
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

# The deadline for each answer of the browser.
_SECONDS = 60.0

Message = dict[str, Any]


class Page:
    """One tab. events: what the browser reported between answers, in order."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.events: list[Message] = []
        self._to, self._from = to_browser, from_browser
        self._number = 0
        self._unread = b""
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Message:
        """Send a command to the browser and return its answer."""
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda event: event.get("id") == message["id"], method)
        if "error" in answer:
            raise LabError(f"Chromium refuses {method}: {answer['error']['message']}")
        result: Message = answer["result"]
        return result

    def open(self, page: Path) -> None:
        """Open a file and wait until it is loaded completely."""
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        if not any(_loaded(event) for event in self.events):
            self._until(_loaded, f"loading {page}")

    def look(self, *, width: int, dark: bool = False, height: int = 800) -> None:
        """Set the size of the window and the color scheme that its reader prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def read(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise LabError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, place: Path, height: int) -> None:
        """Write the upper part of the page as a PNG."""
        width = self.read("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        place.write_bytes(base64.b64decode(shot["data"]))

    def _until(self, matches: Callable[[Message], bool], action: str) -> Message:
        end = time.monotonic() + _SECONDS
        while True:
            message = self._next(action, end)
            if matches(message):
                return message
            self.events.append(message)

    def _next(self, action: str, end: float) -> Message:
        while b"\0" not in self._unread:
            ready = select.select([self._from], [], [], max(0.0, end - time.monotonic()))[0]
            if not ready:
                raise LabError(f"Chromium was not done after {_SECONDS:.0f} s with: {action}")
            read = os.read(self._from, 1 << 16)
            if not read:
                raise LabError(f"Chromium ended during: {action}")
            self._unread += read
        text, self._unread = self._unread.split(b"\0", 1)
        message: Message = json.loads(text)
        return message


def _loaded(message: Message) -> bool:
    return message.get("method") == "Page.loadEventFired"


@contextmanager
def browser() -> Iterator[Page]:
    """A tab of a new browser, which ends with the block."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        raise LabError(f"none of {', '.join(_NAMES)} is installed: ./dev test installs chromium")
    from_us, to_browser = os.pipe()
    from_browser, to_us = os.pipe()
    with tempfile.TemporaryDirectory(prefix="vfio-mdev-chromium-", ignore_cleanup_errors=True) as profile:
        # The browser expects its ends of the pipes under these numbers; sh accepts single digits only.
        ends = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        process = subprocess.Popen(
            ["bash", "-c", ends, program, *_OPTIONS, f"--user-data-dir={profile}"],
            pass_fds=(from_us, to_us),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            os.close(from_us)
            os.close(to_us)
            yield Page(to_browser, from_browser)
        finally:
            end_group(process)
            os.close(to_browser)
            os.close(from_browser)
