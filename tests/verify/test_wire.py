"""How the verification asks over HTTP: patient with what passes, plain about what does not."""

import pytest

from verify.wire import UnreachableError


def test_one_connection_serves_many_requests(wire, told):
    ports = set()

    def answer(handler, body):
        ports.add(handler.client_address[1])
        return 200, {}, handler.path.encode() + body

    url = told(answer)

    assert wire.request("GET", f"{url}/a?b=c").body == b"/a?b=c"
    assert wire.request("POST", f"{url}/", {}, b"sent").body == b"/sent"
    assert len(ports) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_asked_for_again(wire, told, status):
    answers = [(200, {}, b"at last"), (status, {"Retry-After": "0"}, b""), None]
    url = told(lambda handler, body: answers.pop())

    assert wire.request("GET", url).body == b"at last"
    assert answers == []


def test_what_does_not_pass_is_handed_back(wire, told):
    asked = []
    url = told(lambda handler, body: asked.append(1) or (404, {}, b"none"))

    assert wire.request("GET", url).status == 404
    assert asked == [1]


def test_the_last_answer_counts_when_nothing_passes(wire, told):
    asked = []
    url = told(lambda handler, body: asked.append(1) or (503, {}, b""))

    assert wire.request("GET", url).status == 503
    assert len(asked) == 5


def test_a_redirect_is_not_followed(wire, told):
    url = told(lambda handler, body: (302, {"Location": "http://127.0.0.1:1/"}, b""))

    assert wire.request("GET", url).status == 302


def test_a_server_that_hangs_up_for_ever_is_unreachable(wire, told):
    url = told(lambda handler, body: None)

    with pytest.raises(UnreachableError, match=f"{url.removeprefix('http://')} does not answer"):
        wire.request("GET", url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "http:///a", "http://127.0.0.1/a b", "http://127.0.0.1/é", ""])
def test_what_is_no_http_url_is_refused(wire, url):
    with pytest.raises(ValueError, match="URL"):
        wire.request("GET", url)


def test_an_https_url_is_spoken_to_by_tls(wire, told):
    url = told(lambda handler, body: (200, {}, b""))

    with pytest.raises(UnreachableError, match="SSL"):
        wire.request("GET", url.replace("http:", "https:"))
