# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's exception."""

from __future__ import annotations


class LabError(Exception):
    """Something that the lab needs failed. The text names the action, the answer and the cure."""
