"""Data that harms whoever handles it: it is parked or refused, and what lies beside it goes its way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataunion import retries
from dataunion.models import DataUnion, Partner, SyncJob
from dataunion.state import CLAIMABLE, Status
from partners.akave.encoding import decrypt
from tests.faults.elapse import elapse
from tests.faults.forks import Forks
from tests.faults.oracle import MARKER
from tests.faults.poison import DEADLY, HARMFUL
from tests.faults.union import Union
from tests.flows.house import LEASE_S, House

MAX_BYTES = 5_000_000


def work_to_the_end(union: Union, forks: Forks) -> int:
    """Start a new worker whenever one has died, until there is nothing to do; return how many died."""
    deaths = 0
    while SyncJob.objects.filter(status__in=(*CLAIMABLE, Status.RUNNING)).exists():
        deaths += forks.run("push", "poison") != 0
        assert deaths < 20
        elapse(LEASE_S + 0.1)
        union.tick()
    return deaths


def test_a_record_that_kills_its_workers_is_parked_after_two_and_its_neighbours_are_delivered(
    union: Union, forks: Forks, tmp_path: Path
) -> None:
    Partner.objects.update(state="off")
    adapter = "tests.faults.poison.PoisonPartner"
    Partner.objects.create(name="poison", adapter=adapter, config={"folder": str(tmp_path)})
    neighbours = [union.hand_in(f"good-{number}") for number in range(4)]
    deadly = [union.hand_in(name, poison=name) for name in DEADLY]
    harmful = [union.hand_in(name, poison=name) for name in HARMFUL]

    deaths = work_to_the_end(union, forks)

    assert deaths == 1 + len(deadly)  # the first one held them all; then each was alone
    assert all(union.is_synced(record, "poison") for record in neighbours)
    assert len(list(tmp_path.iterdir())) == len(neighbours)
    assert [union.outcomes(record, "poison") for record in deadly] == [["crashed", "crashed"]] * len(deadly)
    classes = dict(SyncJob.objects.filter(status="failed").values_list("record_id", "error_class"))
    assert classes == {**{r.pk: "poison" for r in deadly}, **{r.pk: "internal" for r in harmful}}

    assert retries.retry_job(SyncJob.objects.get(record=deadly[0]), by="ann")
    assert work_to_the_end(union, forks) == 2
    assert union.outcomes(deadly[0], "poison") == ["crashed"] * 4
    assert SyncJob.objects.get(record=deadly[0]).error_class == "poison"
    union.check(logs=[forks.logs])


def body_of(payload: bytes, data_id: str = "doubtful") -> bytes:
    told = {"user_hash": "user-1", "data_type": "health", "data_id": data_id}
    return json.dumps(told).encode()[:-1] + b', "payload": ' + payload + b"}"


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400),
        (b'{"note": "\xff\xfe"}', 400),
        (b'{"note": "\\ud800"}', 400),
        (b'{"steps": NaN}', 400),
        (b'{"steps": -Infinity}', 400),
        (b'{"steps": 1e999}', 400),
        (b'{"steps": 1, "steps": 2}', 400),
        (b'{"steps": 1', 400),
        (b'"' + b"x" * MAX_BYTES + b'"', 413),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else str(value),
)
def test_doubtful_data_is_refused_at_the_door(house: House, union: Union, payload: bytes, status: int) -> None:
    answer = house.ask("POST", "/api/v1/records", body_of(payload))

    assert answer.status == status
    assert payload[:40] not in answer.body
    assert not DataUnion.objects.exists()
    union.check(logs=[house.logs], texts={"answer": answer.body})


def test_strange_but_sound_data_is_delivered_as_it_is(house: House, union: Union) -> None:
    marker = json.dumps(MARKER, ensure_ascii=False).encode()
    strange = {
        "deep": b"[" * 50 + marker + b"]" * 50,
        "nul": b'{"note":' + marker + b',"nul":"\\u0000"}',
        "numbers": b'{"note":' + marker + b',"big":%d,"small":1e-300}' % 2**80,
        "emoji": '{"note":"🏃‍♀️\\u2028"}'.encode(),
        "large": b'"' + b"x" * (MAX_BYTES - 2) + b'"',
        "plain": b'{"note":' + marker + b"}",
    }

    for data_id, payload in strange.items():
        assert house.ask("POST", "/api/v1/records", body_of(payload, data_id)).status == 201
    union.settle("akave", "hook")

    for record in DataUnion.objects.all():
        assert union.outcomes(record, "akave") == union.outcomes(record, "hook") == ["synced"]
        stored = union.sandboxes.fetch(union.entry(record, "akave")["url"])
        delivered = decrypt(stored, record.retry_data("akave")["record_key"])
        assert json.loads(delivered) == json.loads(strange[record.data_id])
    union.check(logs=[house.logs], at_rest=False)
