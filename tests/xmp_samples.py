"""Side-cars as other programs write them, put together from their public documentation and forums."""

from __future__ import annotations

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES = (
    'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"\n'
    '    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"\n'
    '    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"'
)

# The faces of a photograph of 400 x 300 pixels as stored.
DIGIKAM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MP="http://ns.microsoft.com/photo/1.2/"
    {_SPACES}
   digiKam:PickLabel="0">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>People/Zoë</rdf:li>
     <rdf:li>Places/A &amp; B</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions
     stDim:w="400"
     stDim:h="300"
     stDim:unit="pixel"/>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description
        mwg-rs:Name="Zoë"
        mwg-rs:Type="Face">
       <mwg-rs:Area
        stArea:x="0.25"
        stArea:y="0.5"
        stArea:w="0.1"
        stArea:h="0.2"
        stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
   <!-- a comment with </rdf:Bag> in it -->
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about=""
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    {_SPACES}
   crs:Exposure2012="+0.35">
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="4000" stDim:h="3000" stDim:unit="pixel"/>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Rotation="0.00000" mwg-rs:Name="Ann Lee" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:h="0.3" stArea:w="0.15" stArea:x="0.25" stArea:y="0.5"/>
       </rdf:Description>
      </rdf:li>
      <rdf:li>
       <rdf:Description mwg-rs:Rotation="0.00000" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:h="0.2" stArea:w="0.1" stArea:x="0.75" stArea:y="0.5"/>
       </rdf:Description>
      </rdf:li>
      <rdf:li>
       <rdf:Description mwg-rs:Type="Focus">
        <mwg-rs:Area stArea:x="0.5" stArea:y="0.5" stArea:w="0" stArea:h="0"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

# Fields as elements, an rdf:Seq, and other prefixes, as Apple's programs and exiftool may write them.
ELEMENTS = f"""<r:RDF xmlns:r="{RDF}" xmlns:m="http://www.metadataworkinggroup.com/schemas/regions/"
  xmlns:a="http://ns.adobe.com/xmp/sType/Area#" xmlns:d="http://ns.adobe.com/xap/1.0/sType/Dimensions#">
 <r:Description r:about="uuid:1">
  <m:Regions r:parseType="Resource">
   <m:AppliedToDimensions r:parseType="Resource">
    <d:w>400</d:w><d:h>300</d:h><d:unit>pixel</d:unit></m:AppliedToDimensions>
   <m:RegionList><r:Seq>
    <r:li r:parseType="Resource"><m:Name>Bo</m:Name><m:Type>Face</m:Type>
     <m:Area r:parseType="Resource">
      <a:x>0.5</a:x><a:y>.5</a:y><a:w>1e-1</a:w><a:h>0.2</a:h><a:unit>normalized</a:unit></m:Area>
    </r:li>
    <r:li r:parseType="Resource"><m:Name>Rex</m:Name><m:Type>Pet</m:Type>
     <m:Area a:x="0.5" a:y="0.5" a:w="0.1" a:h="0.1"/></r:li>
   </r:Seq></m:RegionList>
  </m:Regions>
 </r:Description>
</r:RDF>"""

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><x>&j;</x>"
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'
HOSTILE = {
    "entities that grow": (BOMB.encode(), "declares a document type"),
    "another file": (OUTSIDE.encode(), "declares a document type"),
    "cut off": (DIGIKAM.encode()[:900], "damaged"),
    "another encoding": (DIGIKAM.encode("utf-16"), "not in UTF-8"),
    "no XML": (b"\xff\xd8\xff\xe0 a picture", "not in UTF-8"),
    "nothing": (b"", "damaged"),
    "another XML": (b"<svg/>", "no XMP"),
    "deep": (b"<a>" * 200_000 + b"</a>" * 200_000, "too many elements"),
    "many": (b"<a>" + b"<b/>" * 200_000 + b"</a>", "too many elements"),
    "large": (b"<a>" + b" " * (17 << 20) + b"</a>", "too large"),
}
