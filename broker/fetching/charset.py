"""From the bytes of a page to its text, by the rules that browsers follow."""

import codecs
import re
from email.message import Message

PRESCAN_BYTES = 1_024  # how far the HTML standard looks for a charset in the markup


def decode(body: bytes, content_type: str = "") -> str:
    """Return the text; what cannot be decoded becomes U+FFFD. A byte order mark outranks the header,
    the header the markup, and without all three it is UTF-8 if it can be, else Windows-1252."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    declared = _codec(_header_charset(content_type)) or _codec(_markup_charset(body[:PRESCAN_BYTES]))
    if declared:
        return body.decode(declared, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("windows-1252", "replace")


def _header_charset(content_type: str) -> str:
    header = Message()
    header["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    return header.get_content_charset("")


def _markup_charset(head: bytes) -> str:
    found = _META_CHARSET.search(_COMMENT.sub(b"", head))
    label = found[1].decode("ascii", "replace") if found else ""
    # Markup that can be read as ASCII is not UTF-16, whatever it says.
    return "utf-8" if label.lower().startswith("utf-16") else label


def _codec(label: str) -> str | None:
    """The text codec that browsers use for this label; None for one that they do not know."""
    name = label.strip().lower()
    name = _AS_BROWSERS_DO.get(name, name)
    try:
        found = codecs.lookup(name) if name else None
        "".encode(name or "utf-8")  # refuses the codecs that are no charset, such as zlib and rot13
    except (LookupError, ValueError):
        return None
    return None if found is None or found.name in _NOT_FOR_PAGES else found.name


_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_COMMENT = re.compile(rb"<!--.*?(-->|$)", re.DOTALL)
_META_CHARSET = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([a-z0-9_:.-]+)", re.IGNORECASE)
_AS_BROWSERS_DO = {
    **dict.fromkeys(("ascii", "us-ascii", "iso-8859-1", "iso8859-1", "latin1", "latin-1"), "windows-1252"),
    **dict.fromkeys(("iso-8859-9", "latin5"), "windows-1254"),
    **dict.fromkeys(("gb2312", "gbk", "x-gbk"), "gb18030"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987"), "cp949"),
    "utf-16": "utf-16-le",
}
# Python's own encodings, and one that lets a page say something else to us than to a browser.
_NOT_FOR_PAGES = frozenset({"idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "utf-7"})
