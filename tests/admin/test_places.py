"""The list of all pages and actions is whole."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.admin.places import find_routes, make_rows, read_actions, read_places, shows_page

pytestmark = pytest.mark.django_db


def test_every_pattern_is_filled() -> None:
    places = read_places(make_rows())

    assert len(places) == len(find_routes()) > 70
    assert not [place.url for place in places if "%" in place.url or "<" in place.url]
    assert {"index", "login", "sign_in", "dataunion_partner_pause", "dataunion_syncjob_retry_matching"} <= {
        place.name for place in places
    }


def test_every_action_is_found() -> None:
    actions = read_actions(make_rows())

    assert ("retry_selected", "syncjob") in {(action.name, action.model) for action in actions}


def test_a_page_is_told_from_a_button(admin: Client) -> None:
    shown = {place.name: shows_page(admin, place) for place in read_places(make_rows())}

    names = ("index", "sign_in", "dataunion_partner_change", "dataunion_partner_pause", "dataunion_partner_resume")
    assert [shown[name] for name in names] == [True, True, True, True, False]
