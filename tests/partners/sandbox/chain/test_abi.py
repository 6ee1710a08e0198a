import pytest

from partners.sandbox.chain.abi import decode_result, encode_call, signature

PAIR = {"type": "tuple[]", "components": [{"type": "address"}, {"type": "string"}]}
ABI = [
    {"type": "event", "name": "addFilePermissionsAndSchema", "inputs": []},
    {
        "type": "function",
        "name": "addFilePermissionsAndSchema",
        "inputs": [{"type": "uint256"}, PAIR, {"type": "uint256"}],
        "outputs": [{"type": "uint256"}, {"type": "string"}],
    },
]


def test_a_signature_spells_tuples_out():
    assert signature(ABI[1]) == "addFilePermissionsAndSchema(uint256,(address,string)[],uint256)"


def test_a_call_is_selector_and_arguments():
    data = encode_call(ABI, "addFilePermissionsAndSchema", 1, [("0x" + "11" * 20, "key")], 0)

    assert data[:4].hex() == "e62f984a"
    assert len(data) == 4 + 9 * 32


def test_a_result_has_one_element_per_output():
    data = bytes.fromhex(f"{7:064x}{64:064x}{2:064x}" + b"ab".hex().ljust(64, "0"))

    assert decode_result(ABI, "addFilePermissionsAndSchema", data) == (7, "ab")


def test_an_unknown_function_is_a_key_error():
    with pytest.raises(KeyError, match="take"):
        encode_call(ABI, "take")
