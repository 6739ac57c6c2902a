# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishes a host's devices for others. vfio-mdev-metrics.timer runs this program regularly, without Ansible.

It writes metrics for the textfile collector of Prometheus' node_exporter, and local facts for Ansible. Both files are
written whole and renamed, so that a reader never meets half of one. The exit code is 1 if a file was not written.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .._frameworks.registry import host_framework, read_inventory
from .._host.atomic_files import write_whole
from .._host.paths import DEFINITIONS_PATH, Host
from .._host.reader import errno_text, read_bytes
from .._info.cards import cards_of
from .._info.counts import HostCounts, counts_of
from .._info.metrics import metrics_text
from .._info.results import type_results
from .._model.device_state import states
from .._model.errors import MdevError, Unexpected
from .._model.inventory import Hardware, Inventory
from .._planning.drift import find_drift
from .._runner.results import device_result
from .._runner.signals import deferred_signals
from .journal import exit_code, say
from .systemd import unit_states
from .units import BOOT_UNITS, FACTS_FILE, METRICS_FILE

_FILE_MODE = 0o644


def answer_of(inventory: Inventory) -> dict[str, Any]:
    """The part of mdev_info's result that is counted."""
    devices = states(inventory)
    cards = cards_of(inventory, Hardware(), inventory.parents, devices)
    return {
        "framework": host_framework(inventory),
        "types": type_results(cards, inventory),
        "devices": [device_result(state, inventory, find_drift(state, inventory)) for state in devices],
        "broken_definitions": inventory.broken,
        "unread": inventory.unread,
    }


def failed_units(host: Host) -> dict[str, bool]:
    """Whether the units that prepare devices at boot have failed. Only those that are installed."""
    known = unit_states(host, BOOT_UNITS)
    return {name: state.active_state == "failed" for name, state in known.items() if state.load_state == "loaded"}


def facts_text(counts: HostCounts) -> str:
    """The local facts. They have no numbers, so that they only change if the hardware or its driver does."""
    facts = {
        "framework": counts.framework,
        "types": [mdev_type.id for mdev_type in counts.types],
        "type_names": sorted({mdev_type.name for mdev_type in counts.types if mdev_type.name}),
    }
    return json.dumps(facts, indent=2) + "\n"


def write_metrics(folder: str, text: str) -> None:
    """Writes the file of metrics, and replaces it with a single rename.

    The folder may belong to the user of node_exporter, as the one above it does on Debian. So nothing is written
    through a link in it, and what is written holds no secret.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _replace_in(handle, METRICS_FILE, text.encode("utf-8", "backslashreplace"))
    finally:
        os.close(handle)


def _replace_in(folder: int, name: str, data: bytes) -> None:
    # node_exporter reads names that end in .prom only.
    temporary = f".{name}.new"
    try:
        os.unlink(temporary, dir_fd=folder)
    except FileNotFoundError:
        pass
    handle = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE, dir_fd=folder
    )
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, _FILE_MODE)
            file.write(data)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise


def write_facts(folder: str, text: str) -> None:
    """Writes the file of facts if it differs."""
    path = os.path.join(folder, FACTS_FILE)
    data = text.encode("utf-8", "backslashreplace")
    try:
        if read_bytes(path) == data:
            return
    except OSError:
        say(f"{path} is written for the first time")
    write_whole(path, data, _FILE_MODE)


def publish(host: Host, metrics_path: str, facts_path: str) -> list[str]:
    """Writes the files whose folders are given. Returns a message for each that could not be written."""
    counts = counts_of(answer_of(read_inventory(host)))
    writes: Sequence[tuple[str, Callable[[str, str], None], str]] = (
        (metrics_path, write_metrics, metrics_text(counts, _known_failures(host), time.time())),
        (facts_path, write_facts, facts_text(counts)),
    )
    failed = []
    # systemd may stop this run at any time, which must not leave a temporary file.
    with deferred_signals():
        for folder, write, text in writes:
            try:
                if folder:
                    write(folder, text)
            except OSError as error:
                failed.append(f"writing to {folder}: {errno_text(error)}")
    return failed


def _known_failures(host: Host) -> Mapping[str, bool]:
    """As far as systemd answers. The other metrics do not depend on it."""
    try:
        return failed_units(host)
    except MdevError as error:
        say(error.message)
        return {}


def main() -> int:
    """Runs the program with its command line."""
    parser = argparse.ArgumentParser(description="Publish mediated devices as metrics and local facts.")
    parser.add_argument("--metrics", default="", metavar="FOLDER", help="the textfile collector's folder")
    parser.add_argument("--facts", default="", metavar="FOLDER", help="the folder of Ansible's local facts")
    parser.add_argument("--sysfs", default="/sys", metavar="FOLDER", help="(%(default)s)")
    parser.add_argument("--definitions", default=DEFINITIONS_PATH, metavar="FOLDER", help="(%(default)s)")
    options = parser.parse_args()
    try:
        failed = publish(Host(options.sysfs, options.definitions), options.metrics, options.facts)
    except MdevError as error:
        failed = [error.message]
    except Exception as error:
        failed = [Unexpected.from_exception(error).message]
    return exit_code(failed)


if __name__ == "__main__":
    raise SystemExit(main())
