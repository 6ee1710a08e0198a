"""Forms of the partner pages: limits of any partner, a new HTTP partner, the options of one that was made here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.utils.text import capfirst
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from dataunion import roster
from dataunion.models import Partner
from dataunion.state import DataType
from partners import registry
from partners.errors import MisconfiguredError
from partners.requirements import Option, problems

HTTP_ADAPTER = "webhook"
LIMITS = ("data_types", "max_in_flight", "per_second", "max_attempts", "backoff_base_s", "backoff_cap_s")
_LEAST = {"max_in_flight": 1, "per_second": 0, "max_attempts": 1, "backoff_base_s": 0.1, "backoff_cap_s": 1}
_LABELS = {
    "max_in_flight": "In flight at once",
    "per_second": "Rate per second",
    "max_attempts": "Attempts",
    "backoff_base_s": "First wait, seconds",
    "backoff_cap_s": "Longest wait, seconds",
}
_HELP = {
    "max_in_flight": "Jobs that workers hold at once.",
    "per_second": "Jobs taken up a second; 0 for no limit.",
    "max_attempts": "Attempts before a job is failed and waits for a person.",
    "backoff_base_s": "Seconds before the second attempt; doubled after each failure.",
    "backoff_cap_s": "Longest wait between two attempts, in seconds.",
}
_UNITS = (("_s", ", seconds"), ("_bytes", ", bytes"), ("_gwei", ", gwei"))  # how names of options end
_SHORT = {"url", "rpc", "id", "tee"}
_PREFIX = "option_"
_TAKEN = {"total"}  # a key of the statistics beside the partners


class ReasonForm(forms.Form):
    """Why a partner is paused: everyone sees it."""

    reason = forms.CharField(
        max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}), help_text="Everyone sees it."
    )


class LimitsForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a partner takes, how fast and how often; with options where they are kept here."""

    adapter_options: ClassVar[tuple[Option, ...]] = ()

    data_types = forms.MultipleChoiceField(
        choices=[(kind.value, kind.value) for kind in DataType],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None ticked: all types. A change holds for records that come in from now on.",
    )

    class Meta:
        model = Partner
        fields: tuple[str, ...] = LIMITS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, least in _LEAST.items():
            if name not in self.fields:  # shown to someone who may only look
                continue
            self.fields[name].label, self.fields[name].help_text = _LABELS[name], _HELP[name]
            self.fields[name].widget.attrs["min"] = least
            shown = self.get_initial_for_field(self.fields[name], name)
            if isinstance(shown, float) and shown.is_integer():
                self.initial[name] = int(shown)  # "21600", not "21600.0"

    def clean(self) -> dict[str, Any]:
        """Refuse limits that would stop the partner, and options that its adapter refuses."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name, least in _LEAST.items():
            if cleaned.get(name) is not None and cleaned[name] < least:
                self.add_error(name, f"This should be {least} or more.")
        self._check_options()
        return cleaned

    def config(self) -> dict[str, str]:
        """Return the plain options as they were filled in."""
        return {o.name: value for o in self.adapter_options if not o.secret and (value := self._given(o))}

    def secrets(self) -> dict[str, str]:
        """Return the secrets that were filled in."""
        return {o.name: value for o in self.adapter_options if o.secret and (value := self._given(o))}

    def _given(self, option: Option) -> str:
        return str(self.cleaned_data.get(_PREFIX + option.name) or "").strip()

    def _check_options(self) -> None:
        if not self.adapter_options:
            return
        kept = read_kept(self.instance) if self.instance.version > 1 else {}
        secret = {o.name: kept[o.name] for o in self.adapter_options if o.secret and o.name in kept}
        given = {**secret, **self.config(), **self.secrets()}
        wrong = problems(self.adapter_options, given)
        for name, problem in wrong.items():
            if _PREFIX + name not in self.errors:
                self.add_error(_PREFIX + name, f"This {problem}.")
        if wrong or self.errors:
            return
        try:
            registry.build(self.cleaned_data.get("name") or self.instance.name, HTTP_ADAPTER, given).close()
        except MisconfiguredError as error:
            self.add_error(None, error.message)


class NewPartnerForm(LimitsForm):
    """A new partner that is reached by signed HTTP."""

    class Meta(LimitsForm.Meta):
        fields = ("name", *LIMITS)

    def clean_name(self) -> str:
        """Refuse names that could not be told from something else."""
        name: str = self.cleaned_data["name"]
        if name in _TAKEN or name in settings.PARTNERS or "__" in name or name.endswith("_"):
            raise forms.ValidationError(
                "This name cannot be used; take letters, digits and single - or _ between them."
            )
        return name


def read_kept(row: Partner) -> dict[str, Any]:
    """Return the options in force; without the secrets when the vault cannot open them."""
    try:
        return roster.read_config(row)
    except MisconfiguredError:
        return dict(row.config)


def with_options(base: type[LimitsForm], options: Iterable[Option], kept: dict[str, Any]) -> type[LimitsForm]:
    """Return the form with one field for each option; a kept secret is never shown, an empty field keeps it."""
    options = tuple(options)
    fields = {_PREFIX + option.name: _option_field(option, kept) for option in options}
    made: type[LimitsForm] = type(base.__name__, (base,), {"adapter_options": options, **fields})
    return made


def option_names(options: Iterable[Option]) -> list[str]:
    """Return the names of the options' fields."""
    return [_PREFIX + option.name for option in options]


def option_label(option: Option) -> str:
    """Return the name of an option as people write it: "RPC timeout, seconds"."""
    if option.label:
        return option.label
    whole = option.name
    name, unit = next(((whole[: -len(end)], unit) for end, unit in _UNITS if whole.endswith(end)), (whole, ""))
    words = [word.upper() if word in _SHORT else word for word in name.split("_")]
    return capfirst(" ".join(words)) + unit


def say_holds(option: Option) -> str:
    """Return what an option holds, as a sentence; what must be written just so keeps its letters."""
    return f"{capfirst(option.holds) if option.holds.split()[0].strip(',').isalpha() else option.holds}."


def _option_field(option: Option, kept: dict[str, Any]) -> forms.Field:
    label, help_text = option_label(option), say_holds(option)
    if option.secret:
        is_kept = bool(kept.get(option.name))
        return forms.CharField(
            label=label,
            required=option.required and not is_kept,
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
            help_text=f"{help_text} " + ("One is kept; leave empty to keep it." if is_kept else "Never shown again."),
        )
    common: dict[str, Any] = {
        "label": label,
        "required": option.required and option.default is None,
        "initial": kept.get(option.name, option.default or ""),
        "help_text": help_text,
    }
    if option.choices:
        choices = [(value, value) for value in option.choices]
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **common)
    return forms.CharField(widget=UnfoldAdminTextInputWidget, **common)
