"""What usually helps against a failure, by its class, and for some by the step at which it stands. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_OTHERWISE = "Read the message: it names the cause. Put that right, retry one record, and if it is synced, the group."
_BY_CLASS: Mapping[str, str] = {
    "transient": "The partner was busy or did not answer. Test its connection on its page; once it answers, retry.",
    "unknown_outcome": "It was sent and no answer came. We ask before we send again; retry to ask now.",
    "misconfigured": "Our options or credentials were refused. Correct them on its page, resume it, then retry.",
    "permanent": "The partner refused it as it is. Put right what the message names, here or there, then retry.",
    "blocked": "Something must come first: another partner, a consent, an option. It goes on by itself after that.",
    "internal": "A fault of this system. Give the message to whoever runs it; retry after a new version.",
    "crashed": "A worker died over it and another one took over. Should it return, look at the workers' memory.",
    "poison": "Two workers died over this record. Look at their memory and at the record before you retry it alone.",
    "damaged": "Its stored data is gone or does not open. Look whether a vault key is missing, or hand it in again.",
    "changed": "Its data was changed where it is kept. Restore it there and retry, or hand it in under a new id.",
    "conflict": "The partner has something else under this name. Compare both on the record's page before you retry.",
    "validation": "The record lacks something or holds it in a wrong form. Hand it in again, corrected.",
    "proof": "The proof was not accepted. Ask the data pool's owner; a retry alone changes nothing.",
    "refinement": "The refiner cannot open the file. Compare its key and id in the partner's options, then retry.",
    "spoilt": "What was written did not read back the same. Look at the disk and its space, then retry.",
    "nonsense": "The partner's answer made no sense. Show the message to the partner; retry after its next version.",
}
_CHAIN = "The chain was busy or did not answer. Look at the signer's balance and the gas price, then retry."
_POOL = "The chain did not answer, or the data pool did not pay: look at its funds. It is asked again by itself."
_RECEIVER = "The receiver was busy or did not answer. Look at its server; once it answers, retry."
_TRANSACTION = ("prepare", "sign", "send", "confirm")
_BY_STEP: Mapping[tuple[str, str], str] = {
    **{("transient", f"{act}_{what}"): _CHAIN for act in _TRANSACTION for what in ("register", "withdraw")},
    **{("transient", f"{act}_reward"): _POOL for act in _TRANSACTION},
    ("transient", "deliver"): _RECEIVER,
}


def name_remedy(error_class: str, step: str) -> str:
    """Return a sentence or two for staff; a general one for what is not known."""
    return _BY_STEP.get((error_class, step)) or _BY_CLASS.get(error_class, _OTHERWISE)
