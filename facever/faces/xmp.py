"""XMP packets: regions with names read from them, and written into them; all else in them stays byte for byte.

The regions are those of the Metadata Working Group, `mwg-rs:Regions`; see `facever.faces.regions`. expat tells where
each element lies in the file, and the packet is edited there: it may hold the work of other programs, which no parser
would write again quite as it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from facever.errors import DataError
from facever.faces.elements import Element, parsed
from facever.faces.header import Header
from facever.faces.regions import Area

# Of the ratio of width to height: sizes are rounded where a picture was scaled down.
TOLERANCE = 0.02

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_SIZE = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_OWN = "urn:facever:regions#"
_SPACES = (
    f'xmlns:rdf="{_RDF}" xmlns:mwg-rs="{_MWG}" xmlns:stArea="{_AREA}" xmlns:stDim="{_SIZE}" xmlns:facever="{_OWN}"'
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Region:
    """A face in a photograph. `ours`: facever wrote it, and nobody has changed its name or its place since."""

    name: str
    area: Area
    ours: bool = False


_Fields = dict[str, str | Element]


class Packet:
    """The regions in XMP.

    Parameters
    ----------
    content : bytes
        UTF-8.
    name : str
        Of its file, for messages.

    Attributes
    ----------
    regions : list of Region
        Those of faces that have a name and a place.
    applied : (float, float) or None
        Width and height of the picture that the regions are of.

    Raises
    ------
    DataError
        If it is no XMP, or as `facever.faces.elements.parsed`.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._content, self._name = content.rstrip(b"\0"), name
        self._rdf = _find(parsed(self._content, name), f"{_RDF} RDF")
        if self._rdf is None:
            raise DataError(f"{name}: XML, but no XMP (it has no rdf:RDF)")
        descriptions = [node for node in self._rdf.children if node.name == f"{_RDF} Description"]
        self._about = next((_attribute(node, _RDF, "about") for node in descriptions), "")
        self._found = [node for each in descriptions for node in each.children if node.name == f"{_MWG} Regions"]
        self._items = [(node, _region(node)) for each in self._found for node in _items(each)]
        self.regions = [region for _, region in self._items if region is not None]
        self.applied = next((size for each in self._found if (size := _applied(each)) is not None), None)

    def frame(self, header: Header) -> Header | None:
        """What the regions' places refer to: the photograph as stored, or as shown, as some programs have it.

        None where they are of a picture of another shape.
        """
        if self.applied is None or _alike(self.applied, (header.width, header.height)):
            return header
        return Header(*header.upright) if _alike(self.applied, header.upright) else None

    def with_regions(self, regions: Sequence[Region], header: Header) -> bytes:
        """The packet with these as facever's regions, instead of those that it wrote before.

        Raises
        ------
        DataError
            If others' regions there are of a picture of another shape.
        """
        others = [node for node, region in self._items if region is None or not region.ours]
        if not others:
            return self._rewritten(regions, header)
        mine = [node for node, region in self._items if region is not None and region.ours]
        if regions and self.frame(header) != header:
            raise DataError(f"{self._name}: its regions are of a picture of another shape; remove them first")
        changes = [(node.before(self._content), node.end(self._content), b"") for node in mine]
        if regions:
            last = others[-1].end(self._content)
            changes.append((last, last, "".join(f"\n     {_item(each, _SPACES)}" for each in regions).encode()))
        return self._changed(changes)

    def _rewritten(self, regions: Sequence[Region], header: Header) -> bytes:
        """The packet with nothing but these in `mwg-rs:Regions`."""
        whole = _whole(regions, header).encode() if regions else b""
        changes = [(node.start, node.end(self._content), b"" if i else whole) for i, node in enumerate(self._found)]
        if regions and not self._found:
            assert self._rdf is not None
            about = quoteattr(self._about)
            added = (
                f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={about}>\n   {whole.decode()}\n  </rdf:Description>\n '
            ).encode()
            tag = self._rdf.tag(self._content)
            if tag.endswith(b"/>"):
                kind = re.split(rb"[\s/>]", tag[1:], maxsplit=1)[0]
                end = self._rdf.start + len(tag)
                changes = [(self._rdf.start, end, tag[:-2] + b">\n  " + added + b"</" + kind + b">")]
            else:
                changes = [(self._rdf.close, self._rdf.close, b" " + added)]
        return self._changed(changes)

    def _changed(self, changes: Iterable[tuple[int, int, bytes]]) -> bytes:
        parts, at = [], 0
        for start, end, content in sorted(changes):
            parts += [self._content[at:start], content]
            at = end
        return b"".join([*parts, self._content[at:]])


def new_packet(regions: Sequence[Region], header: Header) -> bytes:
    """A packet that holds these regions and nothing else."""
    empty = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{_RDF}">\n </rdf:RDF>\n</x:xmpmeta>\n'
    )
    return Packet(empty.encode(), "new").with_regions(regions, header)


def _find(root: Element, name: str) -> Element | None:
    return next((node for node in (root, *root.children) if node.name == name), None)


def _attribute(node: Element, space: str, name: str) -> str:
    return node.attributes.get(f"{space} {name}", "")


def _fields(node: Element) -> _Fields:
    """The fields of a structure, however it is written: as attributes, elements, or within an rdf:Description."""
    found: _Fields = {**node.attributes}
    for child in node.children:
        found |= _fields(child) if child.name == f"{_RDF} Description" else {child.name: child}
    return found


def _text(fields: _Fields, space: str, name: str) -> str:
    value = fields.get(f"{space} {name}", "")
    return (value if isinstance(value, str) else "".join(value.text)).strip()


def _within(fields: _Fields, name: str) -> _Fields:
    value = fields.get(f"{_MWG} {name}")
    return _fields(value) if isinstance(value, Element) else {}


def _number(fields: _Fields, space: str, name: str) -> float:
    try:
        return float(_text(fields, space, name))
    except ValueError:
        return float("nan")


def _items(regions: Element) -> list[Element]:
    value = _fields(regions).get(f"{_MWG} RegionList")
    arrays = value.children if isinstance(value, Element) else []
    return [item for array in arrays for item in array.children if item.name == f"{_RDF} li"]


def _region(item: Element) -> Region | None:
    fields = _fields(item)
    place = _within(fields, "Area")
    area = Area(*(_number(place, _AREA, side) for side in ("x", "y", "w", "h")))
    name = _text(fields, _MWG, "Name")
    kind, unit = _text(fields, _MWG, "Type") or "Face", _text(place, _AREA, "unit") or "normalized"
    if not name or not area.valid or (kind, unit) != ("Face", "normalized"):
        return None
    written = _text(_within(fields, "Extensions"), _OWN, "written")
    return Region(name, area, bool(written) and written == _mark(name, area))


def _applied(regions: Element) -> tuple[float, float] | None:
    size = _within(_fields(regions), "AppliedToDimensions")
    width, height = _number(size, _SIZE, "w"), _number(size, _SIZE, "h")
    return (width, height) if 0 < width < float("inf") and 0 < height < float("inf") else None


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] * other[1] - one[1] * other[0]) <= TOLERANCE * one[1] * other[0]


def _mark(name: str, area: Area) -> str:
    """What tells a region that nobody has changed: a program that renames a person may leave the rest of it."""
    text = f"{name}\n{area.x:.4f} {area.y:.4f} {area.width:.4f} {area.height:.4f}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _item(region: Region, spaces: str = "") -> str:
    name = _NOT_XML.sub("\ufffd", region.name.strip())
    sides = [round(side, 6) for side in (region.area.x, region.area.y, region.area.width, region.area.height)]
    area = " ".join(f'stArea:{side}="{value:.6f}"' for side, value in zip("xywh", sides, strict=True))
    return (
        f'<rdf:li{" " * bool(spaces)}{spaces} rdf:parseType="Resource">\n'
        f"      <mwg-rs:Name>{escape(name, {chr(13): '&#13;'})}</mwg-rs:Name>\n"
        "      <mwg-rs:Type>Face</mwg-rs:Type>\n"
        f'      <mwg-rs:Area {area} stArea:unit="normalized"/>\n'
        '      <mwg-rs:Extensions rdf:parseType="Resource">\n'
        f"       <facever:written>{_mark(name, Area(*sides))}</facever:written>\n"
        "      </mwg-rs:Extensions>\n"
        "     </rdf:li>"
    )


def _whole(regions: Sequence[Region], header: Header) -> str:
    items = "".join(f"\n     {_item(each)}" for each in regions)
    return (
        f'<mwg-rs:Regions {_SPACES} rdf:parseType="Resource">\n'
        f'    <mwg-rs:AppliedToDimensions stDim:w="{header.width}" stDim:h="{header.height}" stDim:unit="pixel"/>\n'
        f"    <mwg-rs:RegionList>\n     <rdf:Bag>{items}\n     </rdf:Bag>\n    </mwg-rs:RegionList>\n"
        "   </mwg-rs:Regions>"
    )
