"""Whether the configuration fits the chain: asked at start, before the first transaction."""

from __future__ import annotations

from collections.abc import Iterator

from partners.errors import MisconfiguredError, TransientError
from partners.vana import abi
from partners.vana.chain import COIN
from partners.vana.client import NOT_THE_CONTRACT, VanaClient
from partners.vana.options import Settings
from partners.vana.registration import Keys


def check(client: VanaClient, settings: Settings, keys: Keys) -> Iterator[str]:
    """Yield a sentence for each thing that is right. Raises MisconfiguredError with the remedy when one is wrong."""
    try:
        yield _check_chain(client, settings)
        yield from _check_contracts(client, settings)
        yield _check_registry(client, settings)
        yield _check_dlp(client, keys)
        yield _check_balance(client, settings)
    except TransientError as error:
        if error.code == NOT_THE_CONTRACT:
            raise MisconfiguredError(error.message) from None
        raise


def _check_chain(client: VanaClient, settings: Settings) -> str:
    found = client.chain_id()
    if found != settings.chain_id:
        raise MisconfiguredError(
            f"{settings.name}: check: the node is on chain {found}, chain_id says {settings.chain_id}; "
            "correct rpc_url or chain_id"
        )
    return f"The node is on chain {found}."


def _check_contracts(client: VanaClient, settings: Settings) -> Iterator[str]:
    places = {"registry": client.registry, "dlp": client.dlp}
    if settings.request_proof:
        places["tee_pool"] = client.tee_pool
    for option, address in places.items():
        if not client.has_code(address):
            raise MisconfiguredError(
                f"{settings.name}: check: no contract lives at {address} on chain {settings.chain_id}; correct {option}"
            )
        yield f"A contract lives at {address} ({option})."


def _check_registry(client: VanaClient, settings: Settings) -> str:
    version, paused = client.read_many([(client.registry, abi.VERSION, ()), (client.registry, abi.PAUSED, ())])
    if version != settings.registry_version:
        raise MisconfiguredError(
            f"{settings.name}: check: the registry is version {version}, registry_version says "
            f"{settings.registry_version}; read its changes before raising the option"
        )
    if paused:
        raise MisconfiguredError(
            f"{settings.name}: check: the registry is paused by Vana; resume when it is open again"
        )
    return f"The registry is version {version} and open."


def _check_dlp(client: VanaClient, keys: Keys) -> str:
    keys.dlp_key()
    return f"The DLP {client.dlp} has a public key."


def _check_balance(client: VanaClient, settings: Settings) -> str:
    wei = client.balance_wei(settings.signer)
    if not wei:
        raise MisconfiguredError(f"{settings.name}: check: the signer {settings.signer} holds nothing; fund it for gas")
    return f"The signer {settings.signer} holds {wei / COIN:.4f} of the chain's coin."
