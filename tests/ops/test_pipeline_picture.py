"""The picture of pipelines: everything that was wired is on it, and it is an SVG that a browser accepts."""

from xml.etree import ElementTree as ET

from ops.pipeline_picture import draw
from pipelines.page_scan import page_scan
from pipelines.song_order import song_order

SVG = "{http://www.w3.org/2000/svg}"


def test_every_actor_and_every_event_between_them_is_drawn() -> None:
    drawn = ET.fromstring(draw([page_scan, song_order]))  # noqa: S314 - it is our own

    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    assert texts[:7] == [
        "page-scan",
        "page.scan.requested",
        "pages.scan",
        "page.analyze.requested",
        "pages.analyze",
        "notification.send",
        "notifications.notify",
    ]
    assert "orders.finalize" in texts


def test_columns_stand_beside_each_other_and_inside_the_picture() -> None:
    drawn = ET.fromstring(draw([page_scan, song_order]))  # noqa: S314 - it is our own

    boxes = [(float(box.attrib["x"]), float(box.attrib["width"])) for box in drawn.iter(f"{SVG}rect")]
    first, second = boxes[0], boxes[-1]
    assert first[0] + first[1] < second[0]
    assert second[0] + second[1] < float(drawn.attrib["width"])
    lowest = max(float(box.attrib["y"]) + float(box.attrib["height"]) for box in drawn.iter(f"{SVG}rect"))
    assert lowest < float(drawn.attrib["height"])
