# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard of both XML readers. XML is untrusted: size and depth are limited, and a DTD is refused. Pure.

Without a DTD there are no entities and nothing is loaded from outside.

There are two readers because a guest's XML must stay as it is, byte for byte, except for UUIDs and addresses.
domain.py therefore uses expat, which reports the byte offset of each element. lxml would write the whole document
again, with other quotes, spaces and line ends. nodedev.py uses lxml, because it also writes documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from .._model.errors import InvalidInput


@dataclass(frozen=True)
class XmlGuard:
    """The limits of one sort of document.

    document:  its name at the start of messages
    max_bytes: far more than such documents have
    max_depth: levels of elements, including the root
    """

    document: str
    max_bytes: int
    max_depth: int

    def encoded(self, text: str) -> bytes:
        """The text in UTF-8. Raises InvalidInput if it is too large, or has characters that UTF-8 can't express."""
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.invalid(f"UTF-8 can't express its character {error.start}: {error.reason}") from error
        if len(data) > self.max_bytes:
            raise self.invalid(
                f"it has {len(data)} bytes, more than the {self.max_bytes} allowed: such documents are far smaller"
            )
        return data

    def check_depth(self, depth: int) -> None:
        """Raises InvalidInput if an element is nested too deep. The root has depth 1."""
        if depth > self.max_depth:
            raise self.invalid(f"elements are nested more than {self.max_depth} deep")

    def refuse_dtd(self, *_arguments: object) -> NoReturn:
        """Raises InvalidInput for a document type declaration. Also a handler for expat."""
        raise self.invalid(
            "it has a document type declaration (DTD), which such documents never have; entities are refused"
        )

    def invalid(self, problem: str) -> InvalidInput:
        """The error for a document with a problem."""
        return InvalidInput(f"{self.document} was refused: {problem}", xml_problem=problem)
