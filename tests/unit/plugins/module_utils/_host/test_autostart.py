# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program starts defined devices at boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._host.autostart import require_starter, starter
from ansible_collections.vfio.mdev.plugins.module_utils._host.paths import Host
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import NoAutostart

# The rule that mdevctl installs; the path differs between distributions.
RULE = 'ACTION=="add", TEST=="/sys/$devpath/mdev_supported_types", RUN+="/bin/sh -c \'{path} start-parent-mdevs %k\'"\n'


@pytest.fixture
def paths(tmp_path: Path) -> Host:
    (tmp_path / "sys").mkdir()
    return Host(str(tmp_path / "sys"))


def rule(paths: Host, folder: str, path: str) -> None:
    file = Path(paths.beside(folder, "60-mdevctl.rules"))
    file.parent.mkdir(parents=True)
    file.write_text(RULE.format(path=path))


def command(paths: Host, path: str) -> None:
    file = Path(paths.beside(path.lstrip("/")))
    file.parent.mkdir(parents=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)


def test_a_plain_host_starts_nothing(paths: Host) -> None:
    with pytest.raises(NoAutostart, match=r"role vfio\.mdev\.boot"):
        require_starter(paths)


def test_the_rule_of_fedora_works(paths: Host) -> None:
    rule(paths, "usr/lib/udev/rules.d", "/usr/sbin/mdevctl")
    command(paths, "/usr/sbin/mdevctl")
    assert "60-mdevctl.rules" in (starter(paths) or "")


def test_the_rule_of_debian_does_not_work(paths: Host) -> None:
    rule(paths, "usr/lib/udev/rules.d", "/usr/sbin/mdevctl")
    command(paths, "/usr/bin/mdevctl")
    assert starter(paths) is None


def test_a_rule_in_etc_overrides_the_one_of_the_distribution(paths: Host) -> None:
    rule(paths, "etc/udev/rules.d", "/usr/bin/mdevctl")
    rule(paths, "usr/lib/udev/rules.d", "/usr/sbin/mdevctl")
    command(paths, "/usr/bin/mdevctl")
    assert "/etc/udev/rules.d" in (starter(paths) or "")


def test_the_link_of_the_unit_is_enough(paths: Host) -> None:
    link = Path(paths.beside("etc/systemd/system/multi-user.target.wants/vfio-mdev.service"))
    link.parent.mkdir(parents=True)
    link.symlink_to("/etc/systemd/system/vfio-mdev.service")
    assert starter(paths) == "vfio-mdev.service"
