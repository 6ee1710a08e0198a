"""The receiver printed in docs/partners/webhook.md does what the page says."""

from __future__ import annotations

import threading
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest

from partners.base import Item
from partners.errors import MisconfiguredError
from partners.testing import run_steps
from partners.webhook.adapter import WebhookPartner

PAGE = Path(__file__).parents[3] / "docs/partners/webhook.md"


@pytest.fixture
def printed():
    """Run the page's code; yield its names and the URL where its receiver listens."""
    names: dict[str, Any] = {}
    exec(PAGE.read_text().split("```python\n")[1].split("```")[0], names)
    names["Receiver"].log_message = lambda *_: None
    with HTTPServer(("127.0.0.1", 0), names["Receiver"]) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield names, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def item():
    return Item(record_id="r", partner="hook", user_hash="u", data_type="health", data_id="d", payload=b"[7]")


def test_it_takes_a_signed_message_in_once(printed, item):
    names, url = printed
    partner = WebhookPartner("hook", {"url": url, "secret": names["SECRET"], "allow_private": "yes"})

    run_steps(partner, item)
    run_steps(partner, item)

    ((webhook_id, event),) = names["messages"].items()
    assert (webhook_id, event["data"]["payload"]) == (f"msg_{item.once_id}", [7])


def test_it_refuses_a_message_signed_otherwise(printed, item):
    names, url = printed
    partner = WebhookPartner("hook", {"url": url, "secret": "whsec_" + "b" * 32, "allow_private": "yes"})

    with pytest.raises(MisconfiguredError, match="answered 401"):
        run_steps(partner, item)
    assert names["messages"] == {}
