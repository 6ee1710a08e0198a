"""Selectors, topics and errors equal those of the real contracts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_abi import encode

from partners.vana import abi

SELECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "vana" / "selectors.json").read_text())
NAMES = ("DataRegistryImplementation", "TeePoolImplementation", "DataRefinerRegistryImplementation")
CONTRACTS = [SELECTORS[name] for name in NAMES]
REAL = {name.partition("(")[0]: selector for each in CONTRACTS for name, selector in each["functions"].items()}
TOPICS = {event["topic0"] for each in CONTRACTS for event in each["events"].values()} | set(
    SELECTORS["other_topics"].values()
)
REAL_ERRORS = {selector: name for each in CONTRACTS for name, selector in each["errors"].items()} | {
    selector: name for name, selector in SELECTORS["other_errors"].items()
}
OURS = {name: value for name, value in vars(abi).items() if isinstance(value, abi.Function)}
DLP_ONLY = {"PUBLIC_KEY": "0x63ffab31", "PROOF_INSTRUCTION": "0x084a09da", "REQUEST_REWARD": "0x5062bc5a"}


@pytest.mark.parametrize("name", sorted(set(OURS) - set(DLP_ONLY)))
def test_every_selector_is_that_of_the_real_contract(name: str) -> None:
    assert OURS[name].selector == REAL[OURS[name].name]


def test_the_dlps_selectors_are_fixed() -> None:
    assert {name: OURS[name].selector for name in DLP_ONLY} == DLP_ONLY


def test_every_topic_is_that_of_a_real_event() -> None:
    assert {abi.FILE_ADDED, abi.FILE_ADDED_V2, abi.JOB_SUBMITTED, abi.REWARD_REQUESTED} <= TOPICS


@pytest.mark.parametrize("selector", abi.ERRORS)
def test_every_error_is_that_of_a_real_contract(selector: str) -> None:
    assert abi.ERRORS[selector] == REAL_ERRORS[selector].partition("(")[0]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("0x86114455", "FileUrlAlreadyUsed"),
        ("0xEBA6C77A" + "00" * 31 + "07", "InvalidSchemaId"),
        ("0x08c379a0" + encode(["string"], ["no money"]).hex(), "no money"),
        ("0x08c379a0" + "00" * 3, "Error"),
        ("0x08c379a0" + encode(["string"], ["no\x00 mo\u202eney\n"]).hex(), "no money"),
        ("0x08c379a0" + encode(["bytes"], [b"\xed\xa0\x80"]).hex(), "Error"),
        ("0x08c379a0" + encode(["string"], ["\x00"]).hex(), "Error"),
        ("0x08c379a0" + encode(["string"], ["\x00" + "m" * 121]).hex(), "m" * 120),
        ("0x4e487b71" + "00" * 31 + "11", "Panic"),
        ("0x12345678", "0x12345678"),
        ("0x", ""),
        ("", ""),
    ],
)
def test_a_reverts_data_is_named(data: str, name: str) -> None:
    assert abi.error_name(data) == name


@pytest.mark.parametrize(
    ("listed", "types"),
    [
        ("", ()),
        ("uint256", ("uint256",)),
        ("string,(address,string)[],uint256", ("string", "(address,string)[]", "uint256")),
        ("(bytes,(uint256,string))", ("(bytes,(uint256,string))",)),
    ],
)
def test_types_are_split_at_the_outermost_commas(listed: str, types: tuple[str, ...]) -> None:
    assert abi.split_types(listed) == types


def test_a_number_is_a_topic_of_32_bytes() -> None:
    assert abi.number_topic(255) == "0x" + "00" * 31 + "ff"
