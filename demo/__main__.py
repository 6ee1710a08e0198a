"""python -m demo: start everything, hand records in, break things, wait until all is settled, verify."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

from demo.mischief import Mischief
from demo.processes import StartError
from demo.progress import Progress, read_state
from demo.verdict import tell_faults, verify
from demo.world import AlreadyRunningError, World

PATIENCE_S = 20 * 60
FIRST_S = 30
PARTNERS = ("akave", "vana")


def main(argv: list[str] | None = None) -> int:
    """Return 0 only if every record is synced everywhere and the verification agrees."""
    options = _parse(argv)
    progress = Progress()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as held:
        try:
            return _run(options, progress, held)
        except (AlreadyRunningError, StartError) as error:
            progress.say(str(error))
            return 1
        except KeyboardInterrupt:
            progress.say("Ending.")
            return 130


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run demo", description=__doc__)
    add = parser.add_argument
    add("--from", dest="source", type=Path, help="hand in these JSON or NDJSON documents (a folder or a file)")
    add("--include", default="*", help="which files of the folder, by relative path; * spans folders")
    add("--partners", default=",".join(PARTNERS), help="comma separated; default: akave,vana")
    add("--exit", action="store_true", help="end when all is settled; exit 0 only if all is synced and verified")
    options = parser.parse_args(argv)
    options.partners = [name for name in options.partners.split(",") if name]
    unknown = set(options.partners) - set(PARTNERS)
    if unknown or "akave" not in options.partners:
        parser.error(f"--partners should be akave or akave,vana; not {', '.join(sorted(unknown)) or 'without akave'}")
    if options.source and not options.source.exists():
        parser.error(f"--from: {options.source} does not exist")
    return options


def _run(options: argparse.Namespace, progress: Progress, held: ExitStack) -> int:
    world = World(options.partners, held)
    ignored = world.prepare()
    if ignored:
        progress.say(f"Your {', '.join(ignored)} is not used here: the demo has settings of its own, in var/demo.")
    progress.say("Starting a broker, a local double of akave, and its worker")
    world.start_broker()
    world.start_akave()
    _set_up_database(progress)
    from demo import inputs  # Django is set up by now

    source = options.source.resolve() if options.source else inputs.generate()
    found = inputs.read(source, options.include)
    world.wait_for_akave()
    records = inputs.hand_in(found[:1], progress.say)
    _wait_for_first(records, progress)
    _start_rest(world, progress)
    mischief = Mischief(world, len(found))
    mischief.arm()
    records += inputs.hand_in(found[1:], progress.say)
    progress.say(f"Handed in {records} records of {inputs.USERS} users; faults are armed")
    synced = _wait(world, mischief, progress)
    complete = tell_faults(mischief, progress)
    agreed = verify(world, source, options.include, progress)
    ok = synced and complete and agreed
    progress.say("All records are everywhere, once." if ok else "NOT everything is as it should be; see above.")
    if not options.exit:
        _stay(world, progress)
    return 0 if ok else 1


def _set_up_database(progress: Progress) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from dataunion.models import Partner
    from dataunion.roster import find_partners

    progress.say("Making the database (SQLite, in var/demo)")
    call_command("migrate", verbosity=0)
    for row in find_partners():
        Partner.objects.filter(pk=row.pk).update(backoff_base_s=1.0)  # so that a demo does not wait for minutes


def _wait_for_first(records: int, progress: Progress) -> None:
    """Let the first record go its way before all else is started; where it does not arrive, say nothing yet."""
    from dataunion import stats

    give_up_at = time.monotonic() + FIRST_S
    while records and time.monotonic() < give_up_at:
        if stats.read_totals().partners["akave"].synced:
            progress.say("The first record is on akave")
            return
        time.sleep(0.1)


def _start_rest(world: World, progress: Progress) -> None:
    if "vana" in world.partners:
        progress.say("Starting a local double of vana: a chain, a TEE and a refiner")
        world.start_vana()
    world.start_dataunion()
    progress.say(f"DataUnion is starting at {world.web_url}/admin/")


def _wait(world: World, mischief: Mischief, progress: Progress) -> bool:
    """Show the way until all is settled; say whether all is synced."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        happened = mischief.watch()
        if happened:
            progress.say(happened)
        for name in world.processes.find_ended():
            progress.say(f"{name} ended; starting it again (its log is in var/demo/log)")
            world.processes.restart_unless_hopeless(name)
        line, settled, synced = read_state()
        progress.show(line)
        if settled and mischief.is_over():
            progress.say(line)
            return synced
        time.sleep(0.1)
    progress.say(f"Not settled after {PATIENCE_S // 60} minutes; the logs are in var/demo/log")
    return False


def _stay(world: World, progress: Progress) -> None:
    """Leave one thing to mend, say where the admin is, and stay until Ctrl-C."""
    from django.core.management import call_command

    from dataunion.models import DataUnion

    record = DataUnion.objects.order_by("created_at").first()
    if record is not None:
        record.update_partner_sync("akave", False, error_message="Reported to us: Akave says it has lost this one.")
    progress.say(f"The admin:   {world.web_url}/admin/")
    link = StringIO()
    call_command("create_admin", stdout=link, stderr=StringIO())
    progress.say(f"Sign in by:  {link.getvalue().strip()}  (once, within a day)")
    progress.say("Click this:  Open work, where one record is marked failed (somebody reported it lost); press Retry.")
    progress.say("It stays up until Ctrl-C.")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
