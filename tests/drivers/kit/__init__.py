# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stand-in drivers are made of.

:mod:`nodes` (files that answer), :mod:`kernel` (what the drivers of a host share), :mod:`mdev` (the kernel's mdev
core), :mod:`pci` (what is around a parent), :mod:`host` (all of it as a file system), :mod:`mount`, :mod:`asked` (the
modules' verbs), :mod:`namespace` and :mod:`machine` (the modules at the real paths).
"""

from __future__ import annotations
