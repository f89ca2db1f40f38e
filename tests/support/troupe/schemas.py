"""What the troupe says."""

from schemas import Event


class CurtainHeld(Event, type="curtain.held"):
    """`folder` is where the body says that it has begun, and where it waits for `go`."""

    folder: str


class LineSpoken(Event, type="line.spoken"):
    folder: str


class LightFell(Event, type="light.fell"):
    folder: str
