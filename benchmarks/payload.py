# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what each module ships to a host and compiles there: ./dev bench payload [--base PATH].

It needs no lab hosts. Ansible runs every module on this machine, in check mode on a small tree of files, and keeps the
payload that it would send to a host. Each payload then runs again, and Python reports the files that it imports.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.environment import CHECKOUT
from lab.errors import LabError

from benchmarks.on_host import make_tree

_OURS = "ansible_collections/vfio/mdev/"
_ZIP_DATA = re.compile(rb"zip_data='([A-Za-z0-9+/=]+)'")
_SECONDS = 300.0

Arguments = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Payload:
    """What Ansible ships for a module. own_bytes: the share of our files, as they are shipped.

    files and lines: our files that Python compiles, the module itself included. error: why the run ended early.
    """

    files: int
    lines: int
    shipped_bytes: int
    own_bytes: int
    error: str


@dataclass(frozen=True)
class _Column:
    """A measured number with its heading."""

    heading: str
    value: Callable[[Payload], int]


_COLUMNS = (
    _Column("files", lambda payload: payload.files),
    _Column("lines", lambda payload: payload.lines),
    _Column("shipped kB", lambda payload: round(payload.shipped_bytes / 1000)),
    _Column("own kB", lambda payload: round(payload.own_bytes / 1000)),
)


def main(arguments: Sequence[str]) -> int:
    """Measure the checkout, and the other checkout if there is one, and print the table."""
    parser = argparse.ArgumentParser(prog="./dev bench payload", description=__doc__)
    parser.add_argument("--base", type=Path, metavar="PATH", help="another checkout of this collection to compare with")
    options = parser.parse_args(arguments)
    before = {} if options.base is None else measure(options.base)
    after = measure(CHECKOUT)
    print(text(before, after))
    return 0


def measure(checkout: Path) -> dict[str, Payload]:
    """The payloads of all modules of a checkout by the names of the modules."""
    with tempfile.TemporaryDirectory(prefix="vfio-mdev-payload-") as name:
        folder = Path(name)
        _prepare(checkout, folder)
        modules = sorted(path.stem for path in (checkout / "plugins" / "modules").glob("*.py"))
        arguments = _arguments(folder)
        _build(folder, {module: arguments.get(module, {}) for module in modules})
        return {module: measure_payload(folder, module) for module in modules}


def _prepare(checkout: Path, folder: Path) -> None:
    """Fill the folder with the collection, a tree like that of a host with one parent, and a virsh without guests."""
    collection = folder / "ansible_collections" / "vfio" / "mdev"
    # Without action plugins, Ansible always ships the module.
    for entry in (*checkout.resolve().iterdir(), *(checkout.resolve() / "plugins").iterdir()):
        if entry.name not in ("plugins", "action"):
            linked = collection / entry.relative_to(checkout.resolve())
            linked.parent.mkdir(parents=True, exist_ok=True)
            linked.symlink_to(entry)
    make_tree.build(folder / "host" / "sys", 1, 1, 1)
    for name in ("etc", "proc"):
        (folder / "host" / name).mkdir()
    (folder / "host" / "etc" / "machine-id").write_text(f"{'0' * 31}1\n")
    virsh = folder / "bin" / "virsh"
    virsh.parent.mkdir()
    virsh.write_text("#!/bin/sh\n")
    virsh.chmod(virsh.stat().st_mode | stat.S_IXUSR)


def _arguments(folder: Path) -> Arguments:
    """Arguments with which each module comes as far as possible in check mode, by names of modules."""
    sysfs = {"sysfs_path": str(folder / "host" / "sys")}
    paths = {**sysfs, "definitions_path": str(folder / "host" / "etc" / "mdevctl.d")}
    device = {"type": "nvidia-400", "parent": "0000:40:00.0"}
    states = {"persistent": False, "autostart": False}
    return {
        "mdev_destination_info": {**paths, "source": "source", "guests": [], "records_path": str(folder / "records")},
        "mdev_cordon": sysfs,
        "mdev_device": {**paths, **device, **states},
        "mdev_guest_info": paths,
        "mdev_guest_migrate": {"guests": []},
        "mdev_guest_xml": {"guests": []},
        "mdev_info": paths,
        "mdev_migration": {**paths, "source": "source", "guests": [], "records_path": str(folder / "records")},
        "mdev_set": {**paths, "name": "set", "devices": [device], **states},
        "mdev_vfs": {**sysfs, "cards": []},
    }


def _build(folder: Path, arguments: Arguments) -> None:
    """Have Ansible build the payloads. It keeps them if ANSIBLE_KEEP_REMOTE_FILES is set."""
    tasks = [
        {"name": module, f"vfio.mdev.{module}": options, "check_mode": True, "ignore_errors": True}
        for module, options in arguments.items()
    ]
    playbook = folder / "playbook.yml"
    play = {"name": "Payloads", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    playbook.write_text(json.dumps([play]))
    configuration = folder / "ansible.cfg"
    configuration.touch()
    settings = {
        "ANSIBLE_CONFIG": configuration,
        "ANSIBLE_HOME": folder / "home",
        "ANSIBLE_LOCAL_TEMP": folder / "local",
        "ANSIBLE_REMOTE_TEMP": folder / "remote",
        "ANSIBLE_COLLECTIONS_PATH": folder,
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
        "ANSIBLE_PIPELINING": "0",
    }
    command = ["ansible-playbook", "--inventory", "localhost,", str(playbook)]
    done = _run(command, folder, settings)
    if done.returncode != 0:
        raise LabError(f"'{' '.join(command)}' failed: {(done.stdout + done.stderr)[-2000:]}")


def measure_payload(folder: Path, module: str) -> Payload:
    """Measure the payload that Ansible has kept in the folder."""
    [path] = (folder / "remote").rglob(f"AnsiballZ_{module}.py")
    shipped = path.read_bytes()
    zip_data = _ZIP_DATA.search(shipped)
    if zip_data is None:
        raise LabError(f"{path} contains no zip_data: correct benchmarks/payload.py for this version of ansible-core")
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(zip_data[1]))) as archive:
        # Without the empty files __init__.py.
        own = [info for info in archive.infolist() if info.filename.startswith(_OURS) and info.file_size]
        line_counts = {info.filename: archive.read(info).count(b"\n") for info in own}
        # The archive is shipped in base64: four characters for three bytes.
        own_bytes = sum(info.compress_size for info in own) * 4 // 3
    done = _run([sys.executable, "-X", "importtime", str(path)], folder, {})
    compiled = {f"{_OURS}plugins/modules/{module}.py", *_imported(done.stderr)} & line_counts.keys()
    lines = sum(line_counts[name] for name in compiled)
    return Payload(len(compiled), lines, len(shipped), own_bytes, _error(done))


def _imported(report: str) -> Iterator[str]:
    """The files of all imports in the report of -X importtime: 'import time: SELF | CUMULATIVE | NAME'."""
    for line in report.splitlines():
        if line.startswith("import time:"):
            yield line.rpartition("|")[2].strip().replace(".", "/") + ".py"


def _error(done: subprocess.CompletedProcess[str]) -> str:
    """Why the module failed, empty if it did not."""
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        return f"exit code {done.returncode}: {done.stderr[-500:]}"
    if not result.get("failed"):
        return ""
    # ansible-core 2.19 reports an exception that nobody caught as an event.
    return str(result.get("msg") or result["exception"]["event"]["msg"])


def _run(command: list[str], folder: Path, settings: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            **{name: str(value) for name, value in settings.items()},
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def text(before: Mapping[str, Payload], after: Mapping[str, Payload]) -> str:
    """A table in Markdown, and the errors that ended runs early. Without another checkout: the present numbers only."""
    headings = ["module"]
    for column in _COLUMNS:
        headings += [f"{column.heading} before", "after", "ratio"] if before else [column.heading]
    modules = sorted({*before, *after})
    rows = [headings, ["---", *["---:"] * (len(headings) - 1)], *(_row(name, before, after) for name in modules)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    errors = [
        f"{name}{' before' if payloads is before else ''}: counted until its error: {payloads[name].error}\n"
        for payloads in (before, after)
        for name in payloads
        if payloads[name].error
    ]
    return "\n".join([table, *errors])


def _row(name: str, before: Mapping[str, Payload], after: Mapping[str, Payload]) -> list[str]:
    cells = [f"`{name}`"]
    for column in _COLUMNS:
        old, new = (column.value(payloads[name]) if name in payloads else None for payloads in (before, after))
        if before:
            cells += [_cell(old), _cell(new), f"{new / old:.2f}" if old and new is not None else ""]
        else:
            cells.append(_cell(new))
    return cells


def _cell(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
