"""What the signer has, and what a record costs at today's price of gas: for staff, never for a decision."""

from __future__ import annotations

from partners.base import Funds, SignerReading
from partners.errors import TransientError
from partners.vana import abi
from partners.vana.chain import COIN, GWEI, Action, Refused
from partners.vana.client import VanaClient
from partners.vana.options import Settings

# A registration like any other: a URL of ours is as long, and so is an encrypted key.
_URL = "https://dataunion.invalid/" + "0" * 74
_KEY = "0" * 386


def read_signer(client: VanaClient, address: str) -> SignerReading:
    """Ask for the balance and the price of gas: nothing that a contract could refuse."""
    balance_wei, price_wei = client.balance_and_price(address)
    return SignerReading(address=address, balance=balance_wei / COIN, price_gwei=price_wei / GWEI)


def look_at_funds(client: VanaClient, settings: Settings) -> Funds:
    """Simulate a registration and count it for each transaction that a record takes; it is the largest of them."""
    data = abi.ADD_FILE.encode(_URL, settings.signer, [(client.dlp, _KEY)])
    try:
        gas = client.estimate(settings.signer, Action(to=client.registry, data=data)).gas
    except Refused as refused:
        message = (
            f"{settings.name}: the registry refuses a trial: {refused.name or 'without a reason'}; test the connection"
        )
        raise TransientError(message, code=refused.name) from None
    signer = read_signer(client, settings.signer)
    transactions = 1 + settings.request_proof + settings.reward
    fee = client.read(client.tee_pool, abi.TEE_FEE) if settings.request_proof else 0
    return Funds(
        signer=signer,
        per_record=transactions * gas * signer.price_gwei * GWEI / COIN + fee / COIN,
        max_price_gwei=settings.max_fee_wei / GWEI,
        warn_days=settings.warn_days,
    )
