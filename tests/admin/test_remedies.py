"""What usually helps is said for every class of error that an attempt can bear."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dataunion.admin import remedies
from dataunion.admin.remedies import name_remedy

ROOT = Path(__file__).parents[2]


def test_every_class_in_the_code_has_a_remedy_of_its_own() -> None:
    sources = [*ROOT.glob("partners/*.py"), *ROOT.glob("partners/[avwf]*/*.py"), *ROOT.glob("dataunion/**/*.py")]
    text = "\n".join(path.read_text() for path in sources if "migrations" not in path.parts)
    named = set(re.findall(r'(?:PermanentError|PayloadError)\((?:[^()]|\([^()]*\))*kind="(\w+)"', text))
    named |= set(re.findall(r'    error_class = "(\w+)"', text)) - {"partner", "not_ready"}

    assert named >= {"transient", "blocked", "conflict", "proof", "changed"}
    assert {name for name in named if name not in remedies._BY_CLASS} == set()


@pytest.mark.parametrize(
    ("error_class", "step", "beginning"),
    [
        ("transient", "upload", "The partner was busy"),
        ("transient", "send_register", "The chain was busy"),
        ("transient", "confirm_reward", "The chain did not answer, or the data pool"),
        ("transient", "deliver", "The receiver was busy"),
        ("permanent", "deliver", "The partner refused"),
        ("of a newer version", "", "Read the message"),
        ("", "", "Read the message"),
    ],
)
def test_a_step_may_have_a_remedy_of_its_own(error_class: str, step: str, beginning: str) -> None:
    assert name_remedy(error_class, step).startswith(beginning)
