# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building blocks of stand-in drivers and stand-in hosts.

:mod:`nodes` (files with behavior), :mod:`kernel` (state that the drivers of a host share), :mod:`mdev` (the kernel's
mdev core), :mod:`pci` (the PCI files of a parent), :mod:`host_files` (all of it as a file system), :mod:`mount`,
:mod:`stand_in_host` (runs the modules on such a host), :mod:`namespace` and :mod:`isolated_host` (run them at the real
paths), :mod:`changes` (checks of one request).
"""

from __future__ import annotations
