# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings for all unit tests."""

from __future__ import annotations

from hypothesis import settings

# The time per example depends on the load of the machine, so only the whole check has a deadline.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
