"""A music API that does to each variant what the recipient's name says: `fine bad busy`, a word for each of the three."""

import json
import re
from collections import Counter
from collections.abc import Callable
from uuid import uuid4

from schemas.orders import Customization, OrderPaid
from tests.support.web import Call, Web

WORDS = ("fine", "bad", "busy", "broken")
GOOD = ("fine", "busy", "kill")
_NAME = re.compile(r" for (\w+) (\w+) (\w+);")


def ordered(words: tuple[str, ...]) -> OrderPaid:
    wish = Customization(recipient_name=" ".join(words), occasion="birthday", genre="pop", mood="happy")
    order_id = uuid4()
    return OrderPaid(order_id=order_id, stripe_session_id=f"cs_{order_id}", customization=wish, user_id="ada")


class WordyStudio:
    """`kill` is what happens, once, to whoever asks for a variant of that word, before the answer."""

    def __init__(self, web: Web, kill: Callable[[], None] | None = None) -> None:
        self.web = web
        self.kill = kill
        self.asked: Counter[str] = Counter()
        """Idempotency key → how often."""
        self.made: Counter[str] = Counter()
        web.routes["/v1/audio/generations"] = self._generations
        web.routes["/song.mp3"] = lambda call: call.answer(200, b"la la", content_type="audio/mpeg")

    def _generations(self, call: Call) -> None:
        request = json.loads(call.body)
        names = _NAME.search(request["prompt"])
        assert names is not None
        word, key = names.group(int(request["variant"])), call.headers["idempotency-key"]
        self.asked[key] += 1
        if word == "kill" and self.asked[key] == 1 and self.kill is not None:
            self.kill()
        if word == "bad":
            call.answer(400)
        elif word == "broken":
            call.answer(500)
        elif word == "busy" and self.asked[key] == 1:
            call.answer(429, retry_after="1")
        else:
            self.made[key] += 1
            done = {"id": key, "status": "completed", "url": "/song.mp3"}
            call.answer(200, json.dumps(done), content_type="application/json")
