# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A campaign of faults against the unchanged modules: kills, errors of system calls, hostile input, runs at once.

:mod:`hook` counts and disturbs the system calls of a process, :mod:`inside` runs modules with it in the namespace of
:mod:`drivers.kit`, :mod:`scenarios` says what runs on which host, :mod:`bench` holds such a host and its state,
:mod:`campaign` does the rounds, :mod:`inputs` generates documents and options, :mod:`report` prints the table.
"""

from __future__ import annotations
