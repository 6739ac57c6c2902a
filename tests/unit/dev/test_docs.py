# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev docs fails on warnings about our pages, and not on links to pages that need the network."""

from __future__ import annotations

from dev.docs import problems

OURS = """\
/rst/collections/vfio/mdev/docsite/guide_boot.rst:8: WARNING: undefined label: 'guide_bot' [ref.ref]
/rst/collections/vfio/mdev/docsite/guide_boot.rst:9: ERROR: Unexpected indentation. [docutils]
"""
ELSEWHERE = """\
WARNING: failed to reach any of the inventories with the following issues:
/rst/collections/vfio/mdev/mdev_set_module.rst:2317: WARNING: undefined label: 'common_return_values' [ref.ref]
build finished with problems, 17 warnings (with warnings treated as errors).
"""


def test_only_our_pages_count() -> None:
    assert problems(OURS + ELSEWHERE) == OURS.splitlines()
    assert problems(ELSEWHERE) == []
