"""Which URLs and addresses are refused before anything is sent."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.fetching.addresses import read_url, reason_to_refuse
from broker.fetching.errors import RefusedAddressError

INSIDE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254
172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9
224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:10.0.0.1
64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::8.8.8.8 100::1
2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2001:10::1 2001:20::1
2002:7f00:1:: 2002:a00:1::1 2002:808:808:: 3fff::1 5f00::1
fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 2a00::5efe:10.0.0.1 2a00::200:5efe:127.0.0.1
""".split()  # noqa: SIM905 - a table reads better than 60 quoted strings

OUTSIDE = """
1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.169.0.1 223.255.255.255
2606:4700:4700::1111 2a00:1450:4001:81b::200e 64:ff9b::8.8.8.8 2a00::5efe:8.8.8.8
""".split()  # noqa: SIM905

ODD = """
2130706433 0x7f.1 0x7f000001 0X7F.0.0.1 017700000001 0177.0.0.1 127.1 127.0.1 127.0.0.1.. 127.0.0.1.
0 0x 1.1.1 8.8.8.010 134744072 08.8.8.8 256.1.1.1 1.2.3.4.5
①②⑦.⓪.⓪.① \uff11\uff12\uff17.\uff10.\uff10.\uff11 127。0。0。1
⑧.⑧.⑧.⑧ 127.0.0.1%2e 127.0.0.%31 [::1%25lo] [fe80::1%25eth0] [::1%lo] [v1.fe] [::ffff:0x7f.1] a..b -a.com
.example.com a_.-b exa%6dple.com ex\u200bample\u0000.com foo.0x7f foo.1
""".split()  # noqa: SIM905


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert reason_to_refuse(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_not_refused(address: str) -> None:
    assert reason_to_refuse(ip_address(address)) is None


@pytest.mark.parametrize("host", ODD)
def test_an_odd_spelling_is_refused_whatever_it_means(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        read_url(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "data:text/html,hi",
        "//example.com/",
        "example.com",
        "http:///path",
        "http://",
        "",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://example.com@127.0.0.1/",
        "http://@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\.example.com/",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com/\r\nHost: evil",
        "http://exam\tple.com/",
        " http://example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:8o/",
        "http://[::1/",
        "http://[::1]evil.com/",
        "http://example.com\uff0f@127.0.0.1/",
        "http://example.com/" + "a" * 9_000,
        "http://" + "a" * 64 + ".com/",
    ],
)
def test_a_url_that_can_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(RefusedAddressError):
        read_url(url)


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://Example.COM", "http://example.com/"),
        ("HTTPS://example.com.:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:8080/ü?q=ä", "http://example.com:8080/%C3%BC?q=%C3%A4"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.com/", "http://example.com/"),
        ("http://8.8.8.8/a%20b", "http://8.8.8.8/a%20b"),
        ("http://[2606:4700::1]:81/", "http://[2606:4700::1]:81/"),
        ("http://my_shop.example.com/", "http://my_shop.example.com/"),
    ],
)
def test_a_url_has_one_spelling(url: str, same: str) -> None:
    assert read_url(url).url == same


def test_a_host_is_allowed_with_its_port_or_on_all_ports() -> None:
    target = read_url("http://[::1]:81/")

    assert target.is_among({"[::1]:81"})
    assert target.is_among({"[::1]"})
    assert target.is_among({"::1"})
    assert not target.is_among({"[::1]:82", "localhost"})


@given(st.text(max_size=40))
def test_whatever_is_read_is_plain_ascii_and_reads_the_same_again(host: str) -> None:
    try:
        target = read_url(f"http://{host}/x")
    except RefusedAddressError:
        return
    assert target.url.isascii()
    assert read_url(target.url) == target
