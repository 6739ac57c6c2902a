# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the snippets of the documentation: YAML and commands in README files and guides, and examples of plugins."""

from __future__ import annotations

import ast
import json
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]

_PLACES = ("README.md", "roles/*/README.md", "docs/docsite/rst/*.rst", "plugins/modules/*.py", "plugins/filter/*.py")
_YAML = ("yaml", "yml", "yaml+jinja")
_SHELL = ("", "console", "shell", "sh", "bash", "text")
_FENCED = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(
    r"^(?P<indent> *)(?:\.\. code-block:: (?P<language>\S+)|\S.*::)\n(?P<block>(?: *\n|(?P=indent) +\S.*\n)+)",
    re.MULTILINE,
)

# The role or playbook that has the variables with a prefix.
_ROLES = {"provision_": "vfio.mdev.provision", "boot_": "vfio.mdev.boot"}
_PLAYBOOKS = {
    "drain_": ("vfio.mdev.drain", "gpu-7", {"drain_to": "gpu_hosts"}),
    "migrate_": ("vfio.mdev.migrate", "gpu-2", {"migrate_source": "gpu-1", "migrate_guest_names": ["web-1"]}),
    "find_": ("vfio.mdev.find_destination", "gpu_hosts", {"find_source": "gpu-1"}),
    "report_": ("vfio.mdev.report", "gpu_hosts", {}),
}
_PLAYBOOKS["prepare_migration_"] = _PLAYBOOKS["migrate_"]

# Forms of YAML that are not run, and why. The first key that a block has decides.
_OTHER_FORMS = {
    "collections": "requirements of ansible-galaxy",
    "plugin": "an inventory plugin of another collection",
    "groups": "rules of Prometheus",
}


@dataclass(frozen=True)
class Snippet:
    """What a reader copies.

    plays: run together with those of other snippets; command: run on its own; reason: why it is not run; first_steps:
    whether it has to work on a host on which nothing was installed; variables: for the other snippets of its file
    """

    source: str
    title: str
    text: str
    plays: list[dict[str, Any]] = field(default_factory=list)
    command: tuple[str, ...] = ()
    reason: str = ""
    first_steps: bool = False
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.source}: {self.title}"


def snippets() -> list[Snippet]:
    """All snippets. Commands that several documents have are run once."""
    collected = {snippet.command or snippet.name: snippet for path in _files() for snippet in _in_file(path)}
    return list(collected.values())


def _files() -> list[Path]:
    return [path for pattern in _PLACES for path in sorted(CHECKOUT.glob(pattern))]


def _in_file(path: Path) -> Iterator[Snippet]:
    source, text = str(path.relative_to(CHECKOUT)), path.read_text()
    if path.suffix == ".py":
        yield from _examples(source, text)
        return
    merged: list[tuple[str, dict[str, Any]]] = []
    in_file = list(_blocks(path, source, text, merged))
    variables = {name: value for snippet in in_file for name, value in snippet.variables.items()}
    for snippet in in_file:
        plays = [{**play, "vars": {**variables, **play.get("vars", {})}} for play in snippet.plays]
        yield replace(snippet, plays=plays if variables else snippet.plays)
    for number, (prefix, given) in enumerate(merged, 1):
        yield _playbook_variables(source, f"variables {prefix}* {number}", prefix, given)


def _blocks(path: Path, source: str, text: str, merged: list[tuple[str, dict[str, Any]]]) -> Iterator[Snippet]:
    for title, language, block in _markdown(text) if path.suffix == ".md" else _restructured(text):
        if language in _YAML:
            yield from _yaml_block(source, title, block, merged)
        elif language in _SHELL:
            yield from _commands(source, block)


def _markdown(text: str) -> Iterator[tuple[str, str, str]]:
    """Title, language and text of each block. The line is its title."""
    for match in _FENCED.finditer(text):
        yield _line(text, match.start()), match[2], textwrap.dedent(match[3])


def _restructured(text: str) -> Iterator[tuple[str, str, str]]:
    for match in _DIRECTIVE.finditer(text):
        lines = [line for line in match["block"].splitlines() if not re.match(r" +:\w+:", line)]
        yield _line(text, match.start()), match["language"] or "", textwrap.dedent("\n".join(lines)).strip("\n") + "\n"


def _line(text: str, position: int) -> str:
    return f"line {text.count(chr(10), 0, position) + 1}"


def _examples(source: str, text: str) -> Iterator[Snippet]:
    """The tasks of EXAMPLES, each on its own."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "EXAMPLES":  # type: ignore[attr-defined]
            for task in yaml.safe_load(ast.literal_eval(node.value)):
                yield Snippet(source, task["name"], yaml.safe_dump(task), plays=[_play([task])])


def _play(tasks: list[dict[str, Any]], **keywords: Any) -> dict[str, Any]:
    gather = {"gather_facts": "ansible_facts" in str(tasks), "gather_subset": ["min"]}
    return {"hosts": "gpu-2", **gather, **keywords, "tasks": tasks}


def _yaml_block(source: str, title: str, block: str, merged: list[tuple[str, dict[str, Any]]]) -> Iterator[Snippet]:
    content = yaml.safe_load(block)
    if isinstance(content, list):
        complete = all(map(_is_play, content))
        yield Snippet(source, title, block, plays=content if complete else [_play(content)], first_steps=complete)
        return
    if not isinstance(content, dict):
        yield Snippet(source, title, block, reason="neither plays, tasks nor variables")
        return
    prefix = _prefix(content)
    if prefix in _ROLES:
        role = {"name": _ROLES[prefix], "rolespec_validate": False}
        yield Snippet(
            source,
            title,
            block,
            plays=[_play([{"ansible.builtin.include_role": role}], vars=content)],
            first_steps=True,
        )
    elif prefix:
        _merge(merged, prefix, content)
    else:
        yield _other_form(source, title, block, content)


def _other_form(source: str, title: str, block: str, content: dict[str, Any]) -> Snippet:
    if all(isinstance(group, dict) and {"hosts", "children"} & set(group) for group in content.values()):
        return Snippet(source, title, block, reason="an inventory: the hosts are those of the test")
    reasons = [reason for key, reason in _OTHER_FORMS.items() if key in content]
    if reasons:
        return Snippet(source, title, block, reason=reasons[0])
    reason = "variables that the other snippets of the file get"
    return Snippet(source, title, block, variables=content, reason=reason)


def _is_play(entry: dict[str, Any]) -> bool:
    return "hosts" in entry or any(name.endswith("import_playbook") for name in entry)


def _prefix(names: Iterable[str]) -> str:
    """The first prefix of one of the names, empty if none has a known prefix."""
    return next((prefix for name in names for prefix in (*_ROLES, *_PLAYBOOKS) if name.startswith(prefix)), "")


def _merge(merged: list[tuple[str, dict[str, Any]]], prefix: str, variables: dict[str, Any]) -> None:
    """Add the variables to those of the document that go to the same playbook, unless these have other values."""
    for known_prefix, known in merged:
        same_playbook = _PLAYBOOKS[known_prefix] is _PLAYBOOKS[prefix]
        if same_playbook and all(known.get(name, value) == value for name, value in variables.items()):
            known.update(variables)
            return
    merged.append((prefix, dict(variables)))


def _playbook_variables(source: str, title: str, prefix: str, variables: dict[str, Any]) -> Snippet:
    playbook, limit, needed = _PLAYBOOKS[prefix]
    given = json.dumps({**needed, **variables})
    return Snippet(source, title, given, command=("ansible-playbook", playbook, "-l", limit, "-e", given))


def _commands(source: str, block: str) -> Iterator[Snippet]:
    """The commands ansible and ansible-playbook in a block, which may also have their output."""
    text = re.sub(r"\\\n *", "", block)
    for match in re.finditer(r"^ *(?:\$ )?((?:ansible|ansible-playbook) .*(?:\n {4,}(?!\").*'$)?)", text, re.MULTILINE):
        words = shlex.split(match[1], comments=True)
        title = " ".join(words)
        if words[0] == "ansible":
            yield _ad_hoc(source, title, words)
        elif any(word.startswith("vfio.mdev.") for word in words):
            yield Snippet(source, title, title, command=tuple(words))
        else:
            yield Snippet(source, title, title, reason="its play is a snippet of its own")


def _ad_hoc(source: str, title: str, words: list[str]) -> Snippet:
    """ansible HOSTS -m MODULE -a ARGUMENTS as a play."""
    options = dict(zip(words, words[1:], strict=False))
    arguments = options.get("-a", "")
    task = {options["-m"]: json.loads(arguments) if arguments.startswith("{") else arguments or None}
    hosts = next(word for word in words[1:] if not word.startswith("-"))
    return Snippet(source, title, title, plays=[_play([task], hosts=hosts, check_mode="--check" in words)])
