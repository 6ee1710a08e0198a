# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Roles and pausing, shared by the doubles
@notice Solidity's custom errors are raised by hand, since Vyper knows none
"""

event RoleGranted:
    role: indexed(bytes32)
    account: indexed(address)
    sender: indexed(address)

event RoleRevoked:
    role: indexed(bytes32)
    account: indexed(address)
    sender: indexed(address)

event Paused:
    account: address

event Unpaused:
    account: address

DEFAULT_ADMIN_ROLE: public(constant(bytes32)) = empty(bytes32)
MAINTAINER_ROLE: public(constant(bytes32)) = keccak256("MAINTAINER_ROLE")

hasRole: public(HashMap[bytes32, HashMap[address, bool]])
paused: public(bool)


@deploy
def __init__():
    self._grant(DEFAULT_ADMIN_ROLE, msg.sender)
    self._grant(MAINTAINER_ROLE, msg.sender)


@external
@view
def getRoleAdmin(role: bytes32) -> bytes32:
    return DEFAULT_ADMIN_ROLE


@external
def grantRole(role: bytes32, account: address):
    self._only(DEFAULT_ADMIN_ROLE)
    self._grant(role, account)


@external
def revokeRole(role: bytes32, account: address):
    self._only(DEFAULT_ADMIN_ROLE)
    if self.hasRole[role][account]:
        self.hasRole[role][account] = False
        log RoleRevoked(role=role, account=account, sender=msg.sender)


@external
def pause():
    self._only(MAINTAINER_ROLE)
    self._when_running()
    self.paused = True
    log Paused(account=msg.sender)


@external
def unpause():
    self._only(MAINTAINER_ROLE)
    if not self.paused:
        raw_revert(method_id("ExpectedPause()"))
    self.paused = False
    log Unpaused(account=msg.sender)


@internal
def _grant(role: bytes32, account: address):
    if not self.hasRole[role][account]:
        self.hasRole[role][account] = True
        log RoleGranted(role=role, account=account, sender=msg.sender)


@internal
@view
def _only(role: bytes32):
    if not self.hasRole[role][msg.sender]:
        raw_revert(
            abi_encode(msg.sender, role, method_id=method_id("AccessControlUnauthorizedAccount(address,bytes32)"))
        )


@internal
@view
def _when_running():
    if self.paused:
        raw_revert(method_id("EnforcedPause()"))
