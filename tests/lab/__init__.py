# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: real Linux hosts with real mediated devices, for tests and benchmarks.

Tests use :mod:`lab.hosts` (start hosts, run commands, restore) and :mod:`lab.inventory`.
"""

from __future__ import annotations
