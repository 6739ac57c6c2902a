# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for cards, as options and as words on the command line of the unit."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import InvalidInput
from ansible_collections.vfio.mdev.plugins.module_utils._sriov.request import (
    CardIdentity,
    VfsRequest,
    parse_request,
)

A = "0000:41:00.0"
WORDS = {
    f"{A}=max": VfsRequest(A),
    f"{A}=4": VfsRequest(A, 4),
    f"{A}=max,mixed_sizes=true": VfsRequest(A, mixed_sizes=True),
    f"{A}=max,mixed_sizes=false,id=10de:20b0:10de:1450": VfsRequest(
        A, mixed_sizes=False, identity=CardIdentity("10de:20b0:10de:1450")
    ),
    f"{A}=max,id=10de:20b0,serial=1650522009999": VfsRequest(A, identity=CardIdentity("10de:20b0", "1650522009999")),
    f"{A}=16,mig=1g.5gb+me/19": VfsRequest(A, 16, mig=("1g.5gb+me", "19"), mig_at_least=True),
    f"{A}=max,mig=": VfsRequest(A, mig=()),
}


@pytest.mark.parametrize(("word", "request_"), WORDS.items(), ids=WORDS)
def test_a_word_is_the_request(word: str, request_: VfsRequest) -> None:
    assert parse_request(word) == request_
    assert str(request_) == word


@pytest.mark.parametrize(
    "word",
    ["gpu0=max", f"{A}=some", A, f"{A}=max,mig=a b", f"{A}=max,mixed=true", f"{A}=max,mixed_sizes=1", f"{A}=max,id=x"],
)
def test_other_words(word: str) -> None:
    with pytest.raises(InvalidInput):
        parse_request(word)
