# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snippets of README files, guides and plugins work on hosts that fit them.

A snippet that is not run has a reason, and the reasons are printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from snippet_hosts import NOT_RUN
from snippet_player import player
from snippets import Snippet, snippets

SNIPPETS = snippets()


def reason(snippet: Snippet) -> str:
    """Why the snippet is not run, empty if it is run."""
    reasons = [text for pattern, text in NOT_RUN.items() if re.search(pattern, f"{snippet.name}\n{snippet.text}")]
    covered = "another command does the same, or more" if is_covered(snippet) else ""
    return (*reasons, snippet.reason or covered)[0]


def is_covered(snippet: Snippet) -> bool:
    """Whether another command runs the same playbook on the same hosts with all variables of this one, and more."""
    words = set(_variable_names(snippet.command))
    commands = [other for other in SNIPPETS if other.command]
    same = next((other for other in commands if set(_variable_names(other.command)) == words), snippet)
    return same is not snippet or any(words < set(_variable_names(other.command)) for other in commands if words)


def _variable_names(command: tuple[str, ...]) -> Iterator[str]:
    """The words of a command without the values of variables."""
    for before, word in zip(("", *command), command, strict=False):
        if before != "-e":
            yield from () if word in ("-b", "--become") else (word,)
        else:
            yield from json.loads(word) if word.startswith("{") else [word.partition("=")[0]]


RUN = [snippet for snippet in SNIPPETS if not reason(snippet)]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The output of the snippets that failed, by their names."""
    with player(tmp_path_factory.mktemp("snippets"), RUN) as hosts:
        yield hosts.play_all()


@pytest.mark.parametrize("snippet", RUN, ids=[snippet.name for snippet in RUN])
def test_a_snippet_works(failures: dict[str, str], snippet: Snippet) -> None:
    assert snippet.plays or snippet.command, f"it is not known how to run this:\n{snippet.text}"
    assert snippet.name not in failures, failures[snippet.name]


def test_the_reasons_for_snippets_that_are_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    named = [pattern for pattern in NOT_RUN if any(re.search(pattern, f"{s.name}\n{s.text}") for s in SNIPPETS)]
    assert named == list(NOT_RUN), "these patterns match no snippet any more"
    lines = [f"  {snippet.name}: {reason(snippet)}" for snippet in SNIPPETS if reason(snippet)]
    with capsys.disabled():
        print(f"\n{len(RUN)} snippets are run, {len(lines)} are not:", *lines, sep="\n")
