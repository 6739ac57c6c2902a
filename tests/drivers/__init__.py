# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers that answer as hardware does, and the modules run against them at the real paths.

One file per driver, each rule with its source; their common parts are in :mod:`drivers.kit`.
"""

from __future__ import annotations
