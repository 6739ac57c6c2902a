# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What virsh domjobinfo prints before, during and after a migration."""

from __future__ import annotations

from ansible_collections.vfio.mdev.plugins.module_utils._guests.job_info import JobInfo, parse_job_info

RUNNING = """Job type:         Unbounded
Operation:        Outgoing migration
Time elapsed:     3210         ms
Data processed:   1.500 GiB
Data remaining:   512.250 MiB
Data total:       4.008 GiB
Memory processed: 1.500 GiB
Memory remaining: 512.250 MiB
Memory bandwidth: 32.000 MiB/s
Dirty rate:       1234         pages/s
Page size:        4096         bytes
Iteration:        3
Expected downtime: 300          ms
"""  # noqa: W291
COMPLETED = "Job type:         Completed   \nOperation:        Incoming migration\nTotal downtime:   412          ms\n"


def test_a_running_migration() -> None:
    assert parse_job_info(RUNNING) == JobInfo(
        is_migration=True,
        elapsed=3210,
        processed=3 * 2**29,
        remaining=int(512.25 * 2**20),
        rate=2**25,
        dirty_rate=1234,
    )


def test_other_jobs_are_no_migrations() -> None:
    for text in ("", "Job type:         None\n\n", RUNNING.replace("Outgoing migration", "Dump"), COMPLETED):
        assert not parse_job_info(text).is_migration
    # Old versions of virsh print no operation.
    assert parse_job_info(RUNNING.replace("Operation:        Outgoing migration\n", "")).is_migration


def test_the_measured_downtime() -> None:
    assert parse_job_info(COMPLETED).downtime == 412


def test_what_is_no_number_is_unknown() -> None:
    assert parse_job_info(RUNNING.replace("512.250", "nan")).remaining is None
    assert parse_job_info(RUNNING.replace("1234 ", "9" * 400)).dirty_rate is None
