"""Kinds of input: strict about types, so that nothing is guessed, with messages that go on from the field's name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

_MISSING = {"required": "is missing", "null": "should not be null"}


class Text(serializers.CharField):
    """A string, kept as it is."""

    default_error_messages = {
        **_MISSING,
        "invalid": "should be a string",
        "blank": "should not be empty",
        "max_length": "should have at most {max_length} characters",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Refuse numbers, which REST framework would turn into text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of a few words."""

    default_error_messages = {**_MISSING, "invalid_choice": "should be one of: {choices}"}

    def to_internal_value(self, data: Any) -> str:
        """Name the valid words in the refusal."""
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", choices=", ".join(self.choices))
        return data


@extend_schema_field({"type": "boolean"})
class Flag(serializers.Field):  # type: ignore[type-arg]
    """True or false, nothing that looks like it."""

    default_error_messages = {**_MISSING, "invalid": "should be true or false"}

    def to_internal_value(self, data: Any) -> bool:
        """Refuse all but the two."""
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


@extend_schema_field({})
class AnyJson(serializers.Field):  # type: ignore[type-arg]
    """Any JSON value; null is one, and is not the same as leaving the field out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_internal_value(self, data: Any) -> Any:
        """Take it as it is."""
        return data


@extend_schema_field({"type": "object", "additionalProperties": {}})
class JsonObject(serializers.Field):  # type: ignore[type-arg]
    """A JSON object."""

    default_error_messages = {**_MISSING, "invalid": "should be an object"}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Take any object."""
        if not isinstance(data, dict):
            self.fail("invalid")
        return data


class Count(serializers.IntegerField):
    """A whole number within bounds."""

    default_error_messages = {
        **_MISSING,
        "invalid": "should be a whole number",
        "min_value": "should be {min_value} or more",
        "max_value": "should be {max_value} or less",
    }


class Id(serializers.UUIDField):
    """An id of ours."""

    default_error_messages = {**_MISSING, "invalid": "should be an id that an earlier answer gave"}


class Moment(serializers.DateTimeField):
    """A time that says where on Earth it is meant."""

    default_error_messages = {
        **_MISSING,
        "invalid": "should be a time such as 2026-01-31T08:30:00Z",
        "date": "should be a time such as 2026-01-31T08:30:00Z",
        "naive": "should end with Z or an offset such as +02:00",
        "overflow": "is out of range",
    }

    def enforce_timezone(self, value: datetime) -> datetime:
        """Refuse a time without an offset instead of guessing one."""
        if value.tzinfo is None:
            self.fail("naive")
        return super().enforce_timezone(value)


class Strict(serializers.Serializer[Any]):
    """An object that holds known fields only, so that a misspelt one is said and not ignored."""

    default_error_messages = {**_MISSING, "invalid": "should be an object"}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Refuse what is unknown, then what is wrong."""
        if isinstance(data, Mapping):
            unknown = sorted(str(name)[:60] for name in data if name not in self.fields)
            if unknown:
                known = ", ".join(self.fields)
                raise serializers.ValidationError(dict.fromkeys(unknown, f"is not known here; there are: {known}"))
        found: dict[str, Any] = super().to_internal_value(data)
        return found
