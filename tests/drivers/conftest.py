# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose hardware each test chooses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers.kit.host_files import Driver, HostFiles
from drivers.kit.isolated_host import Boot, IsolatedHost
from drivers.kit.mount import mounted
from drivers.kit.namespace import Namespace


@pytest.fixture(scope="session")
def host_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostFiles]:
    with mounted(tmp_path_factory.mktemp("host")) as files:
        yield files


@pytest.fixture(scope="session")
def namespaces(host_files: HostFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Namespace]]:
    """The namespace that serves all tests, followed by a new one for each that broke."""
    started: list[Namespace] = []
    yield started
    for namespace in started:
        namespace.stop()


@pytest.fixture
def boot(
    host_files: HostFiles, namespaces: list[Namespace], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Boot]:
    """Boots the host with these drivers."""

    def host(*drivers: Driver) -> IsolatedHost:
        if not namespaces or not namespaces[-1].alive:
            namespaces.append(Namespace(host_files.root, tmp_path_factory.mktemp("namespace")))
        host_files.boot(*drivers)
        return IsolatedHost(host_files, namespaces[-1])

    yield host
    host_files.kernel.removals_end.set()
    if namespaces and namespaces[-1].alive:
        namespaces[-1].reset()
