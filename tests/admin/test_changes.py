"""What Django's log says of a change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django import forms
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from dataunion import roster
from dataunion.admin.changes import say_changes, say_form
from dataunion.models import Partner
from tests.admin.test_partners import LIMITS, SECRET, new_partner


class LimitForm(forms.Form):
    """A form with a secret of each kind."""

    limit = forms.IntegerField()
    option_url = forms.CharField(label="URL", required=False)
    hook = forms.CharField(required=False)
    password = forms.CharField(required=False, widget=forms.PasswordInput)
    email = forms.EmailField(required=False)


def filled(**changes: str) -> LimitForm:
    before = {
        "limit": 200,
        "option_url": "https://old.example",
        "hook": "https://secret.example/1",
        "email": "a@b.example",
    }
    form = LimitForm({**before, **changes}, initial=before)
    assert form.is_valid()
    return form


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"limit": "50"}, "Limit: 200 -> 50"),
        ({"option_url": "https://new.example"}, "URL: https://old.example -> https://new.example"),
        ({"option_url": ""}, "URL: https://old.example -> none"),
        ({"hook": "https://secret.example/2", "password": "hunter2"}, "Hook: changed; Password: changed"),
        ({"email": "c@d.example", "limit": "1"}, "Limit: 200 -> 1; Email: changed"),
    ],
)
def test_a_form_tells_before_and_after_but_no_secret(changes: dict[str, str], words: str) -> None:
    assert say_form(filled(**changes), new=False, secret=("hook",)) == words


def test_a_new_row_tells_what_it_was_given() -> None:
    form = LimitForm({"limit": "5", "option_url": "https://a.example", "password": "hunter2"})
    assert form.is_valid()

    assert say_form(form, new=True) == "Limit: 5; URL: https://a.example; Password: set"


def test_what_was_chosen_is_told_in_the_words_of_the_form() -> None:
    class ChoiceForm(forms.Form):
        causes = forms.MultipleChoiceField(choices=[("permanent", "refused"), ("poison", "two workers died")])
        scopes = forms.MultipleChoiceField(choices=[("read", "read: records, attempts")])

    form = ChoiceForm({"causes": ["permanent"], "scopes": ["read"]}, initial={"causes": ["poison"], "scopes": []})
    assert form.is_valid()
    assert say_form(form, new=False) == "Causes: two workers died -> refused; Scopes: none -> read"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("on", "paused", "x: on -> paused"),
        ("same", "same", ""),
        (None, "", ""),
        (True, False, "x: yes -> no"),
        (None, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "x: none -> 2026-01-02 03:04:05 UTC"),
        (["b", "a"], ["a"], "x: a, b -> a"),
        (["b", "a"], ["a", "b"], ""),
        (list("abcdef"), list("bcdefg"), "x: added g, took away a"),
        (list("abcdef"), list("abcdefg"), "x: added g"),
        (list("abcdef"), list("fedcba"), ""),
        ("a" * 300, "b", "x: " + "a" * 199 + "… -> b"),
    ],
)
def test_values_are_told_in_words(before: Any, after: Any, words: str) -> None:
    assert say_changes({"x": before}, {"x": after}) == words


@pytest.mark.django_db
def test_a_changed_limit_is_told_with_what_it_was(admin: Client) -> None:
    row = roster.get_partner("vana")
    Partner.objects.filter(pk=row.pk).update(max_in_flight=200)
    form = {name: getattr(row, name) for name in LIMITS} | {"max_in_flight": "50", "data_types": ["checkin"]}

    admin.post(reverse("admin:dataunion_partner_change", args=[row.pk]), form)

    assert LogEntry.objects.get().change_message == "Changed: Data types: none -> checkin; In flight at once: 200 -> 50"


@pytest.mark.django_db
def test_a_new_partner_is_told_without_its_secret(admin: Client) -> None:
    admin.post("/admin/dataunion/partner/add/", new_partner())

    told = LogEntry.objects.get().change_message
    assert told.startswith("Added: Name: clinic; ")
    assert "URL: https://clinic.example/hook; Secret: set" in told
    assert SECRET not in told
