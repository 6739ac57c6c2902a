# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the filters that write the configuration of programs which use devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible.errors import AnsibleFilterError

from ._consumers import ConsumerError


@contextmanager
def filter_errors(name: str, expected: str) -> Iterator[None]:
    """Raises AnsibleFilterError for what is wrong with the input. expected: what the filter takes, in words."""
    try:
        yield
    except ConsumerError as error:
        raise AnsibleFilterError(f"vfio.mdev.{name}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"vfio.mdev.{name}: expected {expected}") from error
