"""What can go wrong with a partner, said as a decision for the engine.

Messages are for staff: they name partner, step, cause and remedy, and never hold health data, keys or tokens.
Anything raised by an adapter that is not one of these is our own bug: the job fails as `internal`.
"""

from __future__ import annotations


class PartnerError(Exception):
    """Base of all decisions an adapter can raise."""

    error_class = "partner"

    def __init__(self, message: str, *, http_status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.http_status = http_status
        self.code = code  # the partner's own name of the error: an S3 code, a Solidity error


class TransientError(PartnerError):
    """Try again later: spends an attempt, unless the partner said when to come back (`retry_after_s`)."""

    error_class = "transient"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, http_status: int | None = None, code: str = ""
    ) -> None:
        super().__init__(message, http_status=http_status, code=code)
        self.retry_after_s = retry_after_s


class PermanentError(PartnerError):
    """Give up until a person looks: repeating the same request cannot succeed. `kind` becomes the error class."""

    error_class = "permanent"

    def __init__(
        self, message: str, *, kind: str = "permanent", http_status: int | None = None, code: str = ""
    ) -> None:
        super().__init__(message, http_status=http_status, code=code)
        self.error_class = kind


class NotReady(PartnerError):  # noqa: N818 - not an error, a wait
    """Nothing is wrong, it is only too early: come back in `after_s`. Spends no attempt.

    Once the job has waited `at_most_s` in all, the engine treats it as a TransientError with this message.
    """

    error_class = "not_ready"

    def __init__(self, message: str, *, after_s: float, at_most_s: float = 3600.0) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.at_most_s = at_most_s


class UnknownOutcome(PartnerError):  # noqa: N818
    """The request was sent and its answer never came. The step runs again soon, and asks before it repeats.

    Spends no attempt until there is an answer.
    """

    error_class = "unknown_outcome"

    def __init__(self, message: str, *, after_s: float = 1.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class MisconfiguredError(PartnerError):
    """Our configuration or credentials are wrong: pauses the partner with this message, spends no attempt."""

    error_class = "misconfigured"


class BlockedError(PartnerError):
    """Consent, a requirement or validation says no; reopens only when that changes."""

    error_class = "blocked"
