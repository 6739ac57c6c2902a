# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all pure tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on what else the machine does. The whole check has a deadline.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
