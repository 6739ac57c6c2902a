# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs snippets with ansible-playbook on stand-in hosts, many of them in one run.

Before each snippet, a callback plugin asks this process to restart the hosts with the hardware that it is for.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import module_server
import snippet_hosts
import yaml
from controller import CHECKOUT
from snippets import Snippet
from stand_in_fleet import HERE, Fleet, fleet

_SECONDS = 300
# When a play named "snippet NUMBER" starts, hosts are restarted for this snippet.
_CALLBACK = """
import os, re, socket
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = "{name: restart_hosts, type: notification, short_description: Restart stand-in hosts}"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "restart_hosts"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_play_start(self, play):
        match = re.fullmatch(r"snippet (\\d+)", play.get_name())
        if match:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.connect(os.environ["RESTART_HOSTS"])
                asked.send(match[1].encode())
                if asked.recv(16) != b"restarted":
                    raise RuntimeError("the hosts were not restarted")
"""
_WORD = re.compile(r"[a-z][a-z0-9_-]*")


class Player:
    """Hosts for snippets. The results are the output of the snippets that failed, by name."""

    def __init__(self, folder: Path, hosts: Fleet, tools: Path, to_run: Sequence[Snippet]) -> None:
        self._folder = folder
        self._hosts = hosts
        self._tools = tools
        self._snippets = {str(number): snippet for number, snippet in enumerate(to_run)}
        self._titles = {snippet.title: snippet for snippet in to_run}
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(folder / "restart"))
        self._server.listen()
        threading.Thread(target=self._restart_on_request, daemon=True).start()
        self._write_inventories()
        (folder / "restart_hosts.py").write_text(_CALLBACK)
        self._callback = {
            "ANSIBLE_CALLBACK_PLUGINS": str(folder),
            "ANSIBLE_CALLBACKS_ENABLED": "restart_hosts",
            "RESTART_HOSTS": str(folder / "restart"),
        }

    def _write_inventories(self) -> None:
        """In runs of many snippets, a group of hosts has one host. Other names that snippets use are also groups."""
        entries = json.loads((self._folder / "inventory.yml").read_text())["all"]["children"]["gpu_hosts"]["hosts"]
        for entry in entries.values():
            entry["ansible_become"] = False
        names = {word for snippet in self._snippets.values() for word in _hosts_in(snippet)}
        aliases = names - {*entries, "all", "localhost", "gpu_hosts"}
        groups: dict[str, Any] = {name: {"hosts": {"gpu-2": None}} for name in sorted({*aliases, "gpu_hosts"})}
        for name, members in (
            ("many.yml", groups),
            ("inventory.yml", {"gpu_hosts": {"hosts": dict.fromkeys(entries)}}),
        ):
            inventory = {"all": {"hosts": entries, "children": members}}
            (self._folder / name).write_text(json.dumps(inventory))

    def _restart_on_request(self) -> None:
        while True:
            connection, _address = self._server.accept()
            with connection:
                self.restart(self._snippets[connection.recv(16).decode()])
                connection.send(b"restarted")

    def restart(self, snippet: Snippet) -> None:
        """Restart the hosts for a snippet."""
        before = [self._titles[title] for title in snippet_hosts.AFTER.get(snippet.title, ())]
        text = "\n".join(needed.text for needed in (*before, snippet))
        shared = self._folder / "fleet"
        for guest in shared.glob("gpu-*/*"):
            guest.unlink()
        cards = {}
        for name, host in self._hosts.hosts.items():
            hardware = snippet_hosts.hardware(text, self._tools / name)
            host.files.boot(hardware)
            host.clear()
            snippet_hosts.furnish(name, host, HERE / "fleet_virsh")
            if snippet.first_steps or snippet.title in snippet_hosts.FIRST_STEPS:
                host.remove_starter()
            cards[name] = hardware.cards[0]
        if snippet_hosts.needs_guests(text):
            snippet_hosts.place_guests(cards.__getitem__, self._hosts.add_guest)

    def play_all(self) -> dict[str, str]:
        """Run all snippets. After one has failed, those that follow in its file are not run."""
        failures: dict[str, str] = {}
        pending = [(number, snippet) for number, snippet in self._snippets.items() if snippet.plays]
        while pending:
            last, output = self._play_many(pending)
            if last is None:
                break
            failed = self._snippets[last]
            failures[failed.name] = output
            rest = pending[[number for number, _snippet in pending].index(last) + 1 :]
            skipped = [snippet for _number, snippet in rest if snippet.source == failed.source]
            failures.update({snippet.name: f"not run, because '{failed.title}' failed" for snippet in skipped})
            pending = [(number, snippet) for number, snippet in rest if snippet.source != failed.source]
        for snippet in self._snippets.values():
            if snippet.command:
                failures.update(self._play_command(snippet))
        return failures

    def _play_many(self, pending: list[tuple[str, Snippet]]) -> tuple[str | None, str]:
        """The number of the snippet that failed, None if all succeeded, and the output from there."""
        plays = [play for number, snippet in pending for play in self._plays(number, snippet)]
        (self._folder / "many_plays.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
        code, output = self._run(["ansible-playbook", "-i", "many.yml", "many_plays.yml"])
        if code == 0:
            return None, output
        starts = list(re.finditer(r"^PLAY \[snippet (\d+)\]", output, re.MULTILINE))
        assert starts, output
        return starts[-1][1], output[starts[-1].start() :]

    def _plays(self, number: str, snippet: Snippet) -> Iterator[dict[str, Any]]:
        yield {"name": f"snippet {number}", "hosts": "gpu-2", "gather_facts": False}
        for title in snippet_hosts.AFTER.get(snippet.title, ()):
            yield from _placed(self._titles[title])
        yield from _placed(snippet)

    def _play_command(self, snippet: Snippet) -> dict[str, str]:
        self.restart(snippet)
        inventory = () if "-i" in snippet.command else ("-i", "inventory.yml")
        code, output = self._run([*snippet.command[:1], *inventory, *snippet.command[1:]])
        return {} if code == 0 else {snippet.name: output}

    def _run(self, command: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**self._hosts.environment, **self._callback, "ANSIBLE_LOCALHOST_WARNING": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        return done.returncode, done.stdout


def _placed(snippet: Snippet) -> Iterator[dict[str, Any]]:
    """The plays of a snippet on the host that it is for, with the variables that its reader has."""
    text = f"{snippet.name}\n{snippet.text}"
    host = next((host for pattern, host in snippet_hosts.ON.items() if re.search(pattern, text)), None)
    for play in snippet.plays:
        placed = play if host is None else {**play, "hosts": host}
        # Variables of the play come before facts that another snippet gathered.
        yield placed if snippet.first_steps else {**placed, "vars": {**snippet_hosts.VARIABLES, **play.get("vars", {})}}


def _hosts_in(snippet: Snippet) -> list[str]:
    """The names of hosts and groups in a snippet."""
    words = [str(play.get("hosts", "")) for play in snippet.plays]
    tasks = [task for play in snippet.plays for task in play.get("tasks", ())]
    words += [str(task.get("delegate_to", "")) for task in tasks]
    words += [following for word, following in zip(snippet.command, snippet.command[1:], strict=False) if word == "-l"]
    return [name for word in words if "{{" not in word for name in _WORD.findall(word)]


@contextmanager
def player(folder: Path, to_run: Sequence[Snippet]) -> Iterator[Player]:
    """Hosts whose modules run in processes that have imported them already."""
    tools, more = folder / "tools", folder / "more"
    for name in snippet_hosts.NAMES:
        (tools / name).mkdir(parents=True)
    with ExitStack() as stack:
        drivers = {name.replace("-", "_"): snippet_hosts.hardware("", tools / name) for name in snippet_hosts.NAMES}
        # The scripts are the same on all hosts.
        for place in ("usr/bin/nvidia-smi", "usr/lib/nvidia/sriov-manage"):
            (more / place).parent.mkdir(parents=True)
            shutil.copy(tools / snippet_hosts.NAMES[0] / Path(place).name, more / place)
        for name in ("root", "srv", "opt/python3.12/bin"):
            (more / name).mkdir(parents=True)
        (more / "opt/python3.12/bin/python3").symlink_to(sys.executable)
        hosts = stack.enter_context(fleet(folder, more, **drivers))
        for name in snippet_hosts.NAMES:
            stack.enter_context(_resident(folder, name))
        _write_files(folder)
        yield Player(folder, hosts, tools, to_run)


@contextmanager
def _resident(folder: Path, name: str) -> Iterator[None]:
    """Start the process that runs the host's modules, and let the host's Python use it."""
    python, place = folder / f"python-{name}", folder / "fleet" / f"{name}.socket"
    paths = os.pathsep.join(str(CHECKOUT / path) for path in ("tests", "tests/playbooks"))
    process = subprocess.Popen(
        [python, "-m", "module_server", f"/fleet/{place.name}"],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": paths},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 60
        while not place.exists():
            assert time.monotonic() < end and process.poll() is None, "the process for modules did not start"
            time.sleep(0.05)
        client = folder / "client.py"
        client.write_text(module_server.CLIENT)
        words = [sys.executable, "-I", "-S", str(client), str(place)]
        python.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
        yield
    finally:
        process.kill()
        process.wait(20)


def _write_files(folder: Path) -> None:
    """Files of the reader on the controller."""
    for path, text in snippet_hosts.FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
