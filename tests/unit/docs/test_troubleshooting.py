# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide Troubleshooting: its messages are those of the code, and it names every kind of error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._model.definition_text import BrokenDefinitionError
from ansible_collections.vfio.mdev.plugins.module_utils._model.errors import MdevError

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "docsite" / "rst" / "guide_troubleshooting.rst").read_text()

# Messages of libvirt and QEMU. The code does not contain them.
FOREIGN = {"device not found: mediated device '…' not found", "load of migration failed: Bad file descriptor"}
# A message with fewer letters occurs in any text.
_TELLING = 12


def messages() -> Iterator[str]:
    """The messages of the guide: each paragraph of its text blocks."""
    for block in re.findall(r"\.\. code-block:: text\n\n((?:   .*\n|\n)+)", GUIDE):
        yield from (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", block.strip()))


def python_texts(path: Path) -> Iterator[str]:
    """All strings of a file, with '…' for what is filled in, except constants of the file."""
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_part(part, constants) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _part(part: ast.expr, constants: dict[str, object]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    filled = part.value if isinstance(part, ast.FormattedValue) else part
    return str(constants.get(filled.id, "…")) if isinstance(filled, ast.Name) else "…"


def yaml_text(path: Path) -> str:
    """A file of tasks in one line, with '…' for what is filled in."""
    return re.sub(r"\{\{.*?\}\}", "…", " ".join(path.read_text().split()))


TEXTS = [text for path in sorted((ROOT / "plugins").rglob("*.py")) for text in python_texts(path)]
TEXTS += [yaml_text(path) for folder in ("playbooks", "roles") for path in sorted((ROOT / folder).rglob("*.yml"))]


def test_the_guide_has_messages() -> None:
    assert len(list(messages())) > 50
    assert set(messages()) >= FOREIGN


@pytest.mark.parametrize("message", sorted(set(messages()) - FOREIGN))
def test_a_message_is_in_the_code(message: str) -> None:
    # The code puts what was tried, the reason and how long it took together.
    pieces = [piece.strip() for piece in re.split(r"…|: |, waited", message)]
    assert sum(map(len, pieces)) >= _TELLING, "the message has nothing that could be found"
    for piece in pieces:
        assert any(piece in text for text in TEXTS), f"no message contains '{piece}'"


def test_every_kind_of_error_is_named() -> None:
    # A broken definition is part of a result, never the error of a task.
    kinds = {error.kind for error in MdevError.__subclasses__() if error is not BrokenDefinitionError}
    assert len(kinds) > 15
    assert [name for name in sorted(kinds) if f"``{name}``" not in GUIDE] == []
