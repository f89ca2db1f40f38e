"""Recommendations: from the built-in rules, and from a model behind a real HTTP server."""

import json
from datetime import timedelta

import pytest
from pydantic import SecretStr

from actors.pages.advice import NAMED
from actors.pages.analyser import RuleAnalyser
from actors.pages.errors import (
    AnalyserError,
    MalformedAnswerError,
    ModelBusyError,
    ModelUnavailableError,
    PromptError,
    PromptRefusedError,
)
from actors.pages.facts import PageFacts
from actors.pages.model_analyser import ModelAnalyser
from actors.pages.parser import parse
from actors.pages.prompts import interpolate, page_values
from broker.fetching.fetcher import HttpFetcher
from ops.demo_site.server import DemoSite
from tests.support.web import Call, Web, serving

URL = "https://shop.example/"
GOOD = f"""<html lang="en"><head><title>The Lantern Theatre by the river</title>
<meta name="description" content="{"A theatre of 280 seats, with plays, music and late shows all year."}">
<meta name="viewport" content="width=device-width"><link rel="canonical" href="{URL}">
<meta property="og:title" content="t"><meta property="og:description" content="d">
<meta property="og:image" content="i"><script type="application/ld+json">{{}}</script></head>
<body><h1>Theatre</h1><h2>Plays</h2><p>{"word " * 300}</p><img src="a.jpg" alt="a">
<a href="/b">b</a></body></html>"""

ADVICE = [{"title": "Add a title", "description": "It has none.", "priority": "High", "category": "SEO"}]


def keys(html: str, url: str = URL) -> list[str]:
    return [advice.key for advice in RuleAnalyser().analyse("", parse(html, url))]


def test_a_good_page_gets_no_advice() -> None:
    assert keys(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<title>The Lantern Theatre by the river</title>", "", "title-missing"),
        ("The Lantern Theatre by the river", "Home", "title-short"),
        ("The Lantern Theatre by the river", "Plays " * 20, "title-long"),
        ("</title>", "</title><title>Again</title>", "title-multiple"),
        ('name="description"', 'name="other"', "description-missing"),
        ("A theatre of 280 seats, with plays,", "", "description-short"),
        ("A theatre of", "A theatre of so very many" * 9, "description-long"),
        ("<h1>Theatre</h1><h2>Plays</h2>", "<h2>Plays</h2>", "h1-missing"),
        ("<h2>Plays</h2>", "<h1>Plays</h1>", "h1-multiple"),
        ("<h2>Plays</h2>", "<h4>Plays</h4>", "heading-order"),
        ("<h2>Plays</h2>", "<h2> </h2>", "heading-empty"),
        (' alt="a"', "", "images-without-alt"),
        ("word " * 300, "word " * 200, "content-thin"),
        ('rel="canonical"', 'rel="other"', "canonical-missing"),
        (f'href="{URL}"', 'href="https://other.example/"', "canonical-foreign"),
        ("<title>", '<meta name="robots" content="NOINDEX, follow"><title>', "robots-noindex"),
        ("<title>", '<meta name="robots" content="nofollow"><title>', "robots-nofollow"),
        (' lang="en"', "", "lang-missing"),
        ('name="viewport"', 'name="other"', "viewport-missing"),
        ("width=device-width", "width=device-width, user-scalable = no", "viewport-locked"),
        ('<a href="/b">b</a>', '<a href="/b">b</a><a href="/c"></a>', "links-without-text"),
        ('<a href="/b">b</a>', '<a href="/b">b</a><a href="http://c.example/">c</a>', "links-insecure"),
        ('<a href="/b">b</a>', '<a href="https://c.example/">c</a>', "links-internal-missing"),
        ('<a href="/b">b</a>', '<a href="/b">b</a>' * 200, "links-many"),
        ('property="og:image"', 'property="og:other"', "open-graph-missing"),
        ("application/ld+json", "text/plain", "structured-data-missing"),
    ],
)
def test_one_fault_gets_the_one_advice_for_it(old: str, new: str, expected: str) -> None:
    assert old in GOOD

    assert keys(GOOD.replace(old, new)) == [expected]


def test_a_page_over_plain_http_is_told_so() -> None:
    assert keys(GOOD.replace(URL, "http://shop.example/"), "http://shop.example/") == ["https-missing"]


def test_advice_names_the_numbers_and_examples_of_the_page() -> None:
    html = GOOD.replace("</body>", '<img src="/img/hall.jpg"><img src="bar.jpg"></body>')

    advice = RuleAnalyser().analyse("", parse(html, URL))[0]

    assert advice.description.startswith("2 of 3 images without an alt text (such as hall.jpg, bar.jpg)")
    assert (advice.priority, advice.category) == ("high", "accessibility")


def test_the_worst_page_has_each_key_once_the_most_important_first() -> None:
    found = RuleAnalyser().analyse(
        "", parse("<h1></h1><h1></h1><h4></h4><img><a href=//x></a>", "http://x.example/")
    )

    assert len({advice.key for advice in found}) == len(found)
    order = [("high", "medium", "low").index(advice.priority) for advice in found]
    assert order == sorted(order)
    assert {advice.key for advice in found} <= NAMED.keys()


def test_the_demo_site_has_pages_with_few_and_with_many_faults() -> None:
    with DemoSite() as site:
        fetcher = HttpFetcher(allowed_hosts=frozenset({site.host}))
        pages = [fetcher.fetch(url) for url in site.urls]

    found = [RuleAnalyser().analyse("", parse(page.body, page.url, page.content_type)) for page in pages]

    assert [len(advice) > 8 for advice in found] == [False, True, True, True]
    assert [advice.key for advice in found[0]] == ["https-missing"]


@pytest.fixture
def facts() -> PageFacts:
    return parse(GOOD, URL)


def analyser(web: Web, timeout: timedelta = timedelta(seconds=10)) -> ModelAnalyser:
    return ModelAnalyser(web.url("/v1"), SecretStr("sk-test"), "small-model", timeout)


def completing(text: str) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


def test_a_model_is_asked_with_the_prompt_and_the_facts(web: Web, facts: PageFacts) -> None:
    web.routes["/v1/chat/completions"] = lambda call: call.answer(200, completing(json.dumps(ADVICE)))

    found = analyser(web).analyse("Look at this page.", facts)

    assert [(advice.key, advice.priority, advice.category) for advice in found] == [
        ("add-a-title", "high", "seo")
    ]
    request = web.requests[0]
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.json["model"] == "small-model"
    messages = request.json["messages"]
    assert isinstance(messages, list)
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[1]["content"].startswith("Look at this page.")
    assert "The Lantern Theatre by the river" in messages[1]["content"]


def test_a_code_fence_around_the_answer_is_accepted_and_repeats_are_dropped(
    web: Web, facts: PageFacts
) -> None:
    low = {"title": "Later", "description": "d", "priority": "low", "category": "c"}
    text = f"```json\n{json.dumps([low, *ADVICE, *ADVICE])}\n```"
    web.routes["/v1/chat/completions"] = lambda call: call.answer(200, completing(text))

    assert [advice.key for advice in analyser(web).analyse("", facts)] == ["add-a-title", "later"]


@pytest.mark.parametrize(
    "answer",
    [
        completing("Here are my thoughts: [...]"),
        completing('{"title": "one"}'),
        completing('[{"title": "no priority", "description": "d", "category": "c"}]'),
        completing('[{"title": "a", "description": "d", "category": "c", "priority": "urgent"}]'),
        completing('[{"title": "", "description": "d", "category": "c", "priority": "low"}]'),
        completing('[{"title": "cut'),
        json.dumps({"choices": []}),
        json.dumps({"choices": [{"message": {"content": None}}]}),
        "<html>proxy error</html>",
    ],
)
def test_an_answer_that_is_not_the_list_may_be_asked_for_again(
    web: Web, facts: PageFacts, answer: str
) -> None:
    web.routes["/v1/chat/completions"] = lambda call: call.answer(200, answer)

    with pytest.raises(MalformedAnswerError) as failure:
        analyser(web).analyse("", facts)

    assert not failure.value.final
    assert "thoughts" not in str(failure.value)


@pytest.mark.parametrize(
    ("status", "error", "final"),
    [
        (400, PromptRefusedError, True),
        (401, PromptRefusedError, True),
        (404, PromptRefusedError, True),
        (429, ModelBusyError, False),
        (500, ModelUnavailableError, False),
        (503, ModelUnavailableError, False),
    ],
)
def test_a_bad_status_says_whether_another_try_can_help(
    web: Web, facts: PageFacts, status: int, error: type[AnalyserError], final: bool
) -> None:
    web.routes["/v1/chat/completions"] = lambda call: call.answer(status, retry_after="20")

    with pytest.raises(error) as failure:
        analyser(web).analyse("", facts)

    assert failure.value.final is final
    assert not isinstance(failure.value, ModelBusyError) or failure.value.retry_after == "20"


def test_a_model_that_hangs_or_is_gone_is_unavailable(web: Web, facts: PageFacts) -> None:
    def hang(call: Call) -> None:
        call.server.web.closing.wait()

    web.routes["/v1/chat/completions"] = hang

    with pytest.raises(ModelUnavailableError):
        analyser(web, timeout=timedelta(milliseconds=100)).analyse("", facts)
    with serving() as gone:
        pass
    with pytest.raises(ModelUnavailableError):
        analyser(gone).analyse("", facts)


def test_the_key_of_the_model_is_in_no_representation() -> None:
    assert "sk-test" not in repr(ModelAnalyser("http://x", SecretStr("sk-test"), "m"))


def test_a_template_is_filled_in_once_and_other_braces_stay(facts: PageFacts) -> None:
    text = interpolate(
        '{title} / {{ url }} / {"priority": "{lang}"} {0} {a.b}', {**page_values(facts), "title": "{url}"}
    )

    assert text == f'{{url}} / {URL} / {{"priority": "en"}} {{0}} {{a.b}}'


def test_a_template_that_names_something_unknown_says_what_is_known(facts: PageFacts) -> None:
    with pytest.raises(PromptError, match=r"\{keyword\}.*canonical") as failure:
        interpolate("About {keyword}", page_values(facts))

    assert failure.value.final


def test_every_fact_has_a_place_in_a_template(facts: PageFacts) -> None:
    values = page_values(facts)

    assert values["headings"] == "h1: Theatre\nh2: Plays"
    assert values["meta_keywords"] == "(none)"
    assert values["word_count"] == "303"
    assert json.loads(values["facts"])["title"] == "The Lantern Theatre by the river"
