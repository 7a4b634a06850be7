"""Regions in XMP: read as programs write them, written without touching anything else."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xmp_samples import DIGIKAM, ELEMENTS, HOSTILE, LIGHTROOM, RDF

from facever.errors import DataError
from facever.faces.header import Header
from facever.faces.regions import Area
from facever.faces.xmp import Packet, Region, new_packet

STORED = Header(400, 300)
BO = Region("Bo", Area(0.75, 0.25, 0.1, 0.2))
SAMPLES = {"digiKam": DIGIKAM, "Lightroom": LIGHTROOM, "elements": ELEMENTS}
MWG, AREA = "{http://www.metadataworkinggroup.com/schemas/regions/}", "{http://ns.adobe.com/xmp/sType/Area#}"


def packet(text: str | bytes) -> Packet:
    return Packet(text if isinstance(text, bytes) else text.encode(), "a.jpg.xmp")


@pytest.mark.parametrize(
    ("name", "region", "applied"),
    [
        ("digiKam", Region("Zoë", Area(0.25, 0.5, 0.1, 0.2)), (400, 300)),
        ("Lightroom", Region("Ann Lee", Area(0.25, 0.5, 0.15, 0.3)), (4000, 3000)),
        ("elements", Region("Bo", Area(0.5, 0.5, 0.1, 0.2)), (400, 300)),
    ],
)
def test_faces_with_a_name_are_read_however_they_are_written(
    name: str, region: Region, applied: tuple[float, float]
) -> None:
    found = packet(SAMPLES[name])
    assert found.regions == [region]
    assert found.applied == applied
    assert found.frame(STORED) == STORED


@pytest.mark.parametrize("name", SAMPLES)
def test_all_else_stays_byte_for_byte(name: str) -> None:
    before = SAMPLES[name].encode()
    after = packet(before).with_regions([BO], STORED)
    assert packet(after).regions == [*packet(before).regions, Region("Bo", BO.area, ours=True)]
    added = re.search(rb"\n     <rdf:li xmlns:rdf(?:.|\n)*?</rdf:li>", after)
    assert added is not None
    assert after.replace(added[0], b"") == before
    assert packet(after).with_regions([BO], STORED) == after
    assert packet(after).with_regions([], STORED) == before


def test_the_packet_is_what_the_specification_asks_for() -> None:
    """Read by another parser, from the names in the specification."""
    root = ElementTree.fromstring(new_packet([BO], STORED))
    (item,) = root.findall(f".//{MWG}Regions/{MWG}RegionList/{{{RDF}}}Bag/{{{RDF}}}li")
    assert item.findtext(f"{MWG}Name") == "Bo"
    assert item.findtext(f"{MWG}Type") == "Face"
    area = item.find(f"{MWG}Area")
    assert area is not None
    numbers = {side: float(area.attrib[AREA + side]) for side in "xywh"}
    assert numbers == {"x": 0.75, "y": 0.25, "w": 0.1, "h": 0.2}
    assert area.attrib[f"{AREA}unit"] == "normalized"
    size = root.find(f".//{MWG}AppliedToDimensions")
    assert size is not None
    assert list(size.attrib.values()) == ["400", "300", "pixel"]


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1).filter(lambda text: text.strip()),
            st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 1)),
        ),
        max_size=3,
    )
)
@settings(max_examples=50, deadline=None)
def test_any_name_is_read_again_and_is_ours(found: list[tuple[str, tuple[float, float, float, float]]]) -> None:
    regions = [Region(name, Area(*sides)) for name, sides in found]
    read = packet(new_packet(regions, STORED)).regions
    assert [region.ours for region in read] == [True] * len(regions)
    for was, there in zip(regions, read, strict=True):
        if was.name.isprintable():
            assert there.name == was.name.strip()
        sides = (was.area.x, was.area.y, was.area.width, was.area.height)
        assert (there.area.x, there.area.y, there.area.width, there.area.height) == pytest.approx(sides, abs=1e-6)


def test_a_region_that_somebody_renamed_or_moved_is_no_longer_ours() -> None:
    written = new_packet([BO], STORED)
    renamed = packet(written.replace(b">Bo<", b">Bob<"))
    assert renamed.regions == [Region("Bob", BO.area)]
    assert packet(written.replace(b'x="0.75', b'x="0.70')).regions[0].ours is False
    after = packet(renamed.with_regions([Region("Ann", Area(0.2, 0.2, 0.1, 0.1))], STORED))
    assert [(region.name, region.ours) for region in after.regions] == [("Bob", False), ("Ann", True)]
    # Other programs write other digits.
    assert packet(written.replace(b"0.750000", b"0.75")).regions[0].ours is True


def test_a_packet_without_regions_gets_them_and_loses_them() -> None:
    empty = f'<rdf:RDF xmlns:rdf="{RDF}"/>'
    some = f'<x><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="a&amp;b" a="1"/></rdf:RDF></x>'
    for text in (empty, some):
        after = packet(text).with_regions([BO], STORED)
        assert packet(after).regions == [Region("Bo", BO.area, ours=True)]
        assert packet(packet(after).with_regions([], STORED)).regions == []
        assert packet(text).with_regions([], STORED) == text.encode()
    after = packet(some).with_regions([BO], STORED).decode()
    assert after.count('rdf:about="a&amp;b"') == 2
    assert some.partition("</rdf:RDF>")[0] in after


def test_regions_of_the_shown_picture_and_of_another_one() -> None:
    turned = Header(300, 400, 6)  # shown as 400 x 300, which is what the sample states
    assert packet(DIGIKAM).frame(turned) == Header(400, 300)
    assert packet(DIGIKAM).frame(Header(300, 300)) is None
    for header in (turned, Header(300, 300)):
        with pytest.raises(DataError, match=r"a\.jpg\.xmp: its regions are of a picture of another shape"):
            packet(DIGIKAM).with_regions([BO], header)
        assert packet(DIGIKAM).with_regions([], header) == DIGIKAM.encode()


@pytest.mark.parametrize("value", ["nan", "inf", "-0.5", "1e999", "x", ""])
def test_a_place_that_is_none_is_passed_over_and_kept(value: str) -> None:
    text = DIGIKAM.replace('stArea:w="0.1"', f'stArea:w="{value}"')
    assert packet(text).regions == []
    assert packet(packet(text).with_regions([BO], STORED)).with_regions([], STORED) == text.encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_their_name(name: str) -> None:
    content, says = HOSTILE[name]
    with pytest.raises(DataError, match=rf"a\.jpg\.xmp: .*{says}|a\.jpg\.xmp: {says}"):
        packet(content)
