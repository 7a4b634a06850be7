"""Elements of an XML file, and where in the file they lie; hostile files end in an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from facever.errors import DataError

# XMP with a long editing history has some megabytes, and is less deep.
MOST_BYTES, MOST_ELEMENTS, DEEPEST = 16 << 20, 100_000, 100

_TAG = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")


@dataclass(slots=True)
class Element:
    """An element. `start` is where its tag begins, `close` where its end tag does; names are "URI local"."""

    name: str
    attributes: dict[str, str]
    start: int
    close: int = 0
    children: list[Element] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def tag(self, content: bytes) -> bytes:
        """Its first tag."""
        found = _TAG.match(content, self.start)
        assert found is not None
        return found[0]

    def end(self, content: bytes) -> int:
        """Where it ends."""
        tag = self.tag(content)
        return self.start + len(tag) if tag.endswith(b"/>") else content.index(b">", self.close) + 1

    def before(self, content: bytes) -> int:
        """Where the white space before it begins."""
        at = self.start
        while content[at - 1 : at].isspace():
            at -= 1
        return at


def parsed(content: bytes, name: str) -> Element:
    """The root of an XML file in UTF-8.

    A document type is refused before expat sees it, so there are no entities but XML's own five.

    Raises
    ------
    DataError
        If it is damaged, in another encoding, has a document type, or is too large.
    """
    if len(content) > MOST_BYTES:
        raise DataError(f"{name}: too large ({len(content):,} bytes, and the limit is {MOST_BYTES:,})")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{name}: not in UTF-8; have the program that wrote it write it again") from None
    if b"<!DOCTYPE" in content:
        raise DataError(f"{name}: declares a document type, which XMP never has; remove it")
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    above = [Element("", {}, 0)]
    count = 0

    def start(kind: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > MOST_ELEMENTS or len(above) > DEEPEST:
            raise DataError(f"{name}: too many elements (the limit is {MOST_ELEMENTS:,}, {DEEPEST} deep)")
        node = Element(kind, attributes, parser.CurrentByteIndex)
        above[-1].children.append(node)
        above.append(node)

    def end(_: str) -> None:
        above.pop().close = parser.CurrentByteIndex

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: above[-1].text.append(text)
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise DataError(f"{name}: damaged ({error}); remove it, or restore it") from None
    return above[0].children[0]
