"""What was changed, in words for Django's log: before and after; of secrets and addresses only that they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.utils.text import capfirst

from dataunion.admin.words import cut, say_exactly

_FEW = 10
_PRIVATE = (forms.PasswordInput, forms.HiddenInput)


def say_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return "state: on -> paused; reason: none -> too slow": what differs, in the order of `after`."""
    told = (_say_change(name, before.get(name), value) for name, value in after.items())
    return "; ".join(filter(None, told))


def say_form(form: forms.BaseForm, *, new: bool, secret: Collection[str] = ()) -> str:
    """Return what a form that was filled in changes, or what it gives to a new row."""
    return "; ".join(filter(None, (_say_field(form, name, new, secret) for name in form.changed_data)))


def show_done(entry: LogEntry) -> str:
    """Return what a line of the log says was done, with arrows that do not break at the end of a line."""
    said: str = entry.get_change_message() or entry.get_action_flag_display()
    return said.replace(" -> ", " → ")


def _say_field(form: forms.BaseForm, name: str, new: bool, secret: Collection[str]) -> str:
    """Return what became of a field, by the name and the values that people see in the form."""
    field, value = form.fields.get(name), form.cleaned_data.get(name)
    if field is None:  # Django's form of a new password says that "password" changed
        return f"{capfirst(name)}: changed"
    shown = str(form[name].label)
    if name in secret or isinstance(field, forms.EmailField) or isinstance(field.widget, _PRIVATE):
        return f"{shown}: {'set' if new else 'changed'}"
    told = _say_choices(field, value)
    return f"{shown}: {_say(told)}" if new else _say_change(shown, _say_choices(field, form[name].initial), told)


def _say_choices(field: forms.Field, value: Any) -> Any:
    """Return the words of what was chosen; its name alone where the words explain it ("read: records, …")."""
    if not isinstance(field, forms.ChoiceField) or isinstance(field, forms.ModelChoiceField):
        return value
    choices: Any = field.choices
    words = {key: key if ": " in str(told) else told for key, told in choices}
    return [words.get(each, each) for each in value or ()] if _is_many(value) else words.get(value, value)


def _say_change(name: str, old: Any, new: Any) -> str:
    if _is_many(old) and _is_many(new) and len(old) + len(new) > _FEW:
        gained, lost = [each for each in new if each not in old], [each for each in old if each not in new]
        told = [f"added {_say(gained)}" if gained else "", f"took away {_say(lost)}" if lost else ""]
        return f"{name}: {', '.join(filter(None, told))}" if gained or lost else ""
    told_old, told_new = _say(old), _say(new)
    return f"{name}: {told_old} -> {told_new}" if told_old != told_new else ""


def _is_many(value: Any) -> bool:
    return isinstance(value, list | tuple | set | QuerySet)


def _say(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_many(value):
        value = ", ".join(sorted(map(str, value)))
    elif isinstance(value, datetime):
        value = say_exactly(value)
    return "none" if value in (None, "") else cut(str(value), 200)
