# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attributes that modules share. A module adds its own details, such as its action groups."""

from __future__ import annotations


class ModuleDocFragment:
    """The platform, check mode, diff mode and action groups.

    A module uses either DOCUMENTATION or, if it changes nothing, INFO_MODULE. If it is in an action group, it also uses
    ACTION_GROUP and adds the membership.
    """

    DOCUMENTATION = r"""
attributes:
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
  check_mode:
    description: Runs in check mode and returns the same result without changing anything.
    support: full
  diff_mode:
    description: Shows the changes when in diff mode.
    support: full
"""

    INFO_MODULE = r"""
attributes:
  platform:
    description: The platforms that the module runs on.
    support: full
    platforms: linux
  check_mode:
    description: Never changes anything, in check mode or not.
    support: full
  diff_mode:
    description: Never changes anything, so there is no difference to show.
    support: none
"""

    ACTION_GROUP = r"""
attributes:
  action_group:
    description:
      - The action groups that contain the module. In C(module_defaults), C(group/NAME) sets defaults for all modules
        of an action group.
      - In C(vfio.mdev.mdev), all modules have the options C(sysfs_path) and C(definitions_path).
      - In C(vfio.mdev.mdev_change), all modules also have C(backend), C(uri) and C(lock_timeout).
      - In C(vfio.mdev.mdev_host), all modules have C(sysfs_path).
      - In C(vfio.mdev.mdev_provision), all modules have C(wait_timeout).
    support: full
"""
