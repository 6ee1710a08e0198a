"""A Mongoose document of `dataunions` -> the record to register, and what of it could not be read. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dataunion.adoption.akave_state import Old, find_place, read_akave
from dataunion.adoption.fields import Reader, hush, kind_of
from dataunion.adoption.sides import Kind, Side, unfinished
from dataunion.adoption.vana_state import VanaState
from dataunion.state import PARTNER_NAME_PATTERN

OLD_PARTNERS = ("akave", "vana")
UNTOLD = "The old service did not say whether this was synced; see whether it is there before a retry."
_REFERENCE = ("user_hash", "data_type", "data_id")
_LONGEST_NAME = 40
_RANKS = {Kind.SYNCED: 3, Kind.HALF_DONE: 2, Kind.FAILED: 1, Kind.NEW: 0}
Reference = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a document says. Without a reference there is no record to make of it."""

    reference: Reference | None
    sides: Mapping[str, Side] = field(default_factory=dict)
    created_at: datetime | None = None
    problems: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """Say how much is known: of documents with one reference, the one that says most is taken."""
        return sum(_RANKS[side.kind] for side in self.sides.values())


def read_reference(document: Mapping[str, Any]) -> Reference | None:
    """Return user_hash, data_type and data_id where all three are text."""
    found = [value for name in _REFERENCE if isinstance(value := document.get(name), str)]
    return (found[0], found[1], found[2]) if len(found) == len(_REFERENCE) else None


def read_document(document: Mapping[str, Any], takers: Mapping[str, Collection[str]]) -> Reading:
    """Read one document; `takers` are the names of the partners that take each data type here."""
    read = Reader()
    reference = read_reference(document)
    if reference is None:
        for name in _REFERENCE:
            if not isinstance(document.get(name), str):
                value = document.get(name)
                read.note(f"{name} is {kind_of(value) if value is not None else 'missing'}")
        return Reading(reference=None, problems=tuple(read.problems))
    sides = _read_sides(read, document)
    enrolled = takers.get(reference[1], ())
    for name in OLD_PARTNERS:
        if name in sides and name not in enrolled:
            read.note(f"partners.{name} is not taken in, since {name} takes no {reference[1]} records here")
    return Reading(
        reference=reference,
        sides={name: side for name, side in sides.items() if name in enrolled},
        created_at=read.moment(document, "createdAt", "created_at"),
        problems=tuple(read.problems),
    )


def _read_sides(read: Reader, document: Mapping[str, Any]) -> dict[str, Side]:
    if document.get("partners") is None:
        read.note("partners is missing")
    partners = read.mapping(document.get("partners"), "partners")
    for name in sorted(set(partners) - set(OLD_PARTNERS)):
        told = name if re.fullmatch(PARTNER_NAME_PATTERN, name) and len(name) <= _LONGEST_NAME else "another name"
        read.note(f"partners.{told} is not taken in, since the old service knew no such partner")
    akave, vana = (_read_old(read, partners, name) for name in OLD_PARTNERS)
    state = VanaState(read, vana)
    place = find_place(read, akave, vana, registered=state.registered)
    sides = {"akave": read_akave(read, akave, place), "vana": state.side(place)}
    return {name: _doubt(old, sides[name]) for name, old in (("akave", akave), ("vana", vana))}


def _read_old(read: Reader, partners: Mapping[str, Any], name: str) -> Old:
    value = partners.get(name)
    if value is None and partners:
        read.note(f"partners.{name} is missing")
    entry = read.mapping(value, f"partners.{name}")
    told = entry.get("is_synced")
    if told is None and (entry or isinstance(value, Mapping)):
        read.note(f"partners.{name}.is_synced is missing")
    is_synced = read.flag(told, f"partners.{name}.is_synced") if told is not None else False
    unreadable = value is not None and not entry and not isinstance(value, Mapping)
    return Old(
        entry=entry,
        is_synced=None if unreadable else is_synced,
        error_message=hush(read.text(entry.get("error_message"), f"partners.{name}.error_message")),
        retry_data=read.mapping(entry.get("retry_data"), f"partners.{name}.retry_data"),
    )


def _doubt(old: Old, side: Side) -> Side:
    """Let a person decide where nothing says whether it was synced, and nothing is there to ask for."""
    return unfinished(UNTOLD) if old.is_synced is None and side.kind in (Kind.NEW, Kind.FAILED) else side
