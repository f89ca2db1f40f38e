"""What the press hears."""

from schemas import Event


class SheetPrinted(Event, type="sheet.printed"):
    key: str
    n: int


class SheetPosted(Event, type="sheet.posted"):
    key: str
    n: int


class SheetHeld(Event, type="sheet.held"):
    key: str
    n: int
