"""What the Vana adapter can be told, as data, and the same as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partners.requirements import Option, Secret

ADDRESS = r"0x[0-9a-fA-F]{40}"
NUMBER = r"[0-9]{1,15}"
POSITIVE = r"[1-9][0-9]{0,14}"
DECIMAL = r"[0-9]{1,9}(\.[0-9]{1,9})?"
URL = r"https?://[^\s/@]+(/[^\s@]*)?"
YES_NO = r"yes|no"

OPTIONS: tuple[Option, ...] = (
    Option(name="rpc_url", label="Node", holds="the http(s) URL of an EVM node's JSON-RPC", pattern=URL),
    Option(name="chain_id", label="Chain ID", holds="the chain's id: 1480 (mainnet), 14800 (Moksha)", pattern=POSITIVE),
    Secret(
        name="private_key",
        label="Signer's private key",
        holds="the signer's private key, 64 hexadecimal digits",
        pattern=r"(0x)?[0-9a-fA-F]{64}",
    ),
    Option(name="registry", label="DataRegistry", holds="the DataRegistry's address, 0x + 40 hex", pattern=ADDRESS),
    Option(name="registry_version", holds="what the DataRegistry's version() returns", default="2", pattern=NUMBER),
    Option(name="dlp", label="DataLiquidityPool", holds="the DLP's contract address, 0x + 40 hex", pattern=ADDRESS),
    Option(
        name="tee_pool", label="TeePool", holds="the TeePool's address, 0x + 40 hex", required=False, pattern=ADDRESS
    ),
    Option(name="explorer_url", label="Block explorer", required=False, pattern=URL,
           holds="the http(s) URL of a block explorer; known for 1480 and 14800"),
    Option(name="file_owner", holds="signer or owner: whose the registered files are", default="signer",
           pattern="signer|owner"),
    Option(name="schema_id", holds="the schema's id, 0 for none", default="0", pattern=NUMBER),
    Option(name="request_proof", holds="yes or no: have a TEE prove each file", default="no", pattern=YES_NO),
    Option(name="refine", holds="yes or no: have each file refined", default="no", pattern=YES_NO),
    Option(name="reward", holds="yes or no: ask for the reward of each proved file", default="no", pattern=YES_NO),
    Option(name="refiner_url", holds="the refinement service's http(s) URL", required=False, pattern=URL),
    Option(name="refiner_id", holds="the refiner's id, a number", required=False, pattern=POSITIVE),
    Option(name="allow_private", holds="yes if TEEs may live at private addresses and speak plain http", default="no",
           pattern=YES_NO),
    Option(name="confirmations", holds="blocks to wait where nothing is finalized", default="16", pattern=POSITIVE),
    Option(name="forget_depth", holds="blocks before a nonce counts as used", default="6", pattern=POSITIVE),
    Option(name="stuck_blocks", holds="blocks before a waiting transaction pays more", default="20", pattern=POSITIVE),
    Option(name="max_unmined", holds="how many transactions may be on their way", default="16", pattern=POSITIVE),
    Option(name="max_fee_gwei", holds="the most to pay for a unit of gas, in gwei", default="100", pattern=DECIMAL),
    Option(name="warn_days", holds="days that the signer's balance should last; fewer are warned of", default="7",
           pattern=DECIMAL),
    Option(name="gas_factor", holds="how much gas to allow over the estimate, such as 1.5", default="1.5",
           pattern=DECIMAL),
    Option(name="poll_s", holds="seconds between looks at the chain", default="6", pattern=DECIMAL),
    Option(name="rpc_timeout_s", holds="seconds to wait for the node", default="10", pattern=DECIMAL),
    Option(name="tee_timeout_s", holds="seconds before another TEE is asked", default="900", pattern=DECIMAL),
    Option(name="refine_timeout_s", holds="seconds to wait for a refinement", default="1800", pattern=DECIMAL),
)  # fmt: skip

NEEDS = (("request_proof", "tee_pool"), ("refine", "refiner_url"), ("refine", "refiner_id"))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options as values. Fees in wei."""

    name: str
    signer: str
    private_key: str
    chain_id: int
    registry_version: int
    owned_by_signer: bool
    schema_id: int
    request_proof: bool
    refine: bool
    reward: bool
    refiner_url: str
    refiner_id: int
    allow_private: bool
    confirmations: int
    forget_depth: int
    stuck_blocks: int
    max_fee_wei: int
    warn_days: float
    gas_factor: float
    poll_s: float
    tee_timeout_s: float
    refine_timeout_s: float


def parse(name: str, signer: str, config: Mapping[str, str]) -> Settings:
    """Return the typed form of a valid configuration."""
    return Settings(
        name=name,
        signer=signer,
        private_key=config["private_key"],
        chain_id=int(config["chain_id"]),
        registry_version=int(config["registry_version"]),
        owned_by_signer=config["file_owner"] == "signer",
        schema_id=int(config["schema_id"]),
        request_proof=config["request_proof"] == "yes",
        refine=config["refine"] == "yes",
        reward=config["reward"] == "yes",
        refiner_url=config["refiner_url"].rstrip("/"),
        refiner_id=int(config["refiner_id"] or 0),
        allow_private=config["allow_private"] == "yes",
        confirmations=int(config["confirmations"]),
        forget_depth=int(config["forget_depth"]),
        stuck_blocks=int(config["stuck_blocks"]),
        max_fee_wei=int(float(config["max_fee_gwei"]) * 10**9),
        warn_days=float(config["warn_days"]),
        gas_factor=float(config["gas_factor"]),
        poll_s=float(config["poll_s"]),
        tee_timeout_s=float(config["tee_timeout_s"]),
        refine_timeout_s=float(config["refine_timeout_s"]),
    )


def find_lack(config: Mapping[str, str]) -> str:
    """Say what the chosen steps lack, or return ""."""
    for step, option in NEEDS:
        if config[step] == "yes" and not config[option]:
            return f"{option} is not set; {step} = yes needs it"
    if config["reward"] == "yes" and config["request_proof"] == "no":
        return "reward = yes needs request_proof = yes, since only proved files are rewarded"
    return ""
