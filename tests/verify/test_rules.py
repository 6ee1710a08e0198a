"""Rules on the storage that the sandbox's S3 gives no cause for."""

from verify.evidence import Evidence
from verify.report import Progress
from verify.rules import check_buckets


def test_a_bucket_that_strangers_can_list_is_named():
    findings = check_buckets(Evidence([], open_buckets=["health"]))

    assert [(finding.rule, finding.subject) for finding in findings] == [("bucket_open", "health")]


def test_progress_is_said_only_after_a_while(capsys):
    Progress(quiet_s=60).say("nothing")
    Progress(quiet_s=0).say("reading")

    assert capsys.readouterr().err == "verify: reading …\n"
