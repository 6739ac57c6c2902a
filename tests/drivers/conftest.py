# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose hardware each test chooses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers.kit.host import Driver, Host
from drivers.kit.machine import Boot, Machine
from drivers.kit.mount import mounted
from drivers.kit.namespace import Namespace


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with mounted(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture(scope="session")
def namespaces(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Namespace]]:
    """The one that serves all tests; another one after one that was broken."""
    started: list[Namespace] = []
    yield started
    for one in started:
        one.stop()


@pytest.fixture
def boot(host: Host, namespaces: list[Namespace], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """Boots the machine with these drivers."""

    def machine(*drivers: Driver) -> Machine:
        if not namespaces or not namespaces[-1].alive:
            namespaces.append(Namespace(host.root, tmp_path_factory.mktemp("namespace")))
        host.boot(*drivers)
        return Machine(host, namespaces[-1])

    yield machine
    host.kernel.removals_end.set()
    if namespaces and namespaces[-1].alive:
        namespaces[-1].reset()
