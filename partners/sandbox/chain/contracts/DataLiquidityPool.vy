# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A double of a DLP's DataLiquidityPool
@notice It is its own token: balances are kept here, and `token()` is this contract
"""

import guard

initializes: guard
exports: (
    guard.DEFAULT_ADMIN_ROLE,
    guard.MAINTAINER_ROLE,
    guard.hasRole,
    guard.getRoleAdmin,
    guard.grantRole,
    guard.revokeRole,
    guard.paused,
    guard.pause,
    guard.unpause,
)

MAX_URL: constant(uint256) = 2048
MAX_TEXT: constant(uint256) = 4096
ONE: constant(uint256) = 10**18
# Half the order of secp256k1: a higher s would make signatures malleable.
MAX_S: constant(bytes32) = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

struct ProofData:
    score: uint256
    dlpId: uint256
    metadata: String[MAX_TEXT]
    proofUrl: String[MAX_URL]
    instruction: String[MAX_URL]

struct Proof:
    signature: Bytes[256]
    data: ProofData

struct RegistryFile:
    id: uint256
    ownerAddress: address
    url: String[MAX_URL]
    schemaId: uint256
    addedAtBlock: uint256

struct FileResponse:
    fileId: uint256
    timestamp: uint256
    proofIndex: uint256
    rewardAmount: uint256

struct ContributorInfoResponse:
    contributorAddress: address
    filesListCount: uint256

interface Registry:
    def fileProofs(fileId: uint256, index: uint256) -> Proof: view
    def files(fileId: uint256) -> RegistryFile: view

interface Tees:
    def isTee(teeAddress: address) -> bool: view

event RewardRequested:
    contributorAddress: indexed(address)
    fileId: indexed(uint256)
    proofIndex: indexed(uint256)
    rewardAmount: uint256

event ProofInstructionUpdated:
    newProofInstruction: String[MAX_URL]

event PublicKeyUpdated:
    newPublicKey: String[MAX_URL]

event FileRewardFactorUpdated:
    newFileRewardFactor: uint256

event TeePoolUpdated:
    newTeePool: address

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

version: public(constant(uint256)) = 1
trustedForwarder: public(constant(address)) = empty(address)

name: public(String[256])
dataRegistry: public(address)
teePool: public(address)
publicKey: public(String[MAX_URL])
proofInstruction: public(String[MAX_URL])
dlpId: public(uint256)
fileRewardFactor: public(uint256)
totalContributorsRewardAmount: public(uint256)
filesListCount: public(uint256)
contributorsCount: public(uint256)
balanceOf: public(HashMap[address, uint256])
_files: HashMap[uint256, FileResponse]
_file_at: HashMap[uint256, uint256]
_contributor_at: HashMap[uint256, address]
_files_of: HashMap[address, uint256]


@deploy
def __init__(dataRegistry: address, teePool: address, name: String[256], dlpId: uint256, fileRewardFactor: uint256):
    guard.__init__()
    self.dataRegistry = dataRegistry
    self.teePool = teePool
    self.name = name
    self.dlpId = dlpId
    self.fileRewardFactor = fileRewardFactor


@external
@view
def token() -> address:
    return self


@external
@view
def files(fileId: uint256) -> FileResponse:
    found: FileResponse = self._files[fileId]
    found.fileId = fileId
    return found


@external
@view
def filesListAt(index: uint256) -> uint256:
    assert index < self.filesListCount
    return self._file_at[index]


@external
@view
def contributorInfo(contributorAddress: address) -> ContributorInfoResponse:
    return ContributorInfoResponse(
        contributorAddress=contributorAddress, filesListCount=self._files_of[contributorAddress]
    )


@external
@view
def contributors(index: uint256) -> ContributorInfoResponse:
    who: address = self._contributor_at[index]
    return ContributorInfoResponse(contributorAddress=who, filesListCount=self._files_of[who])


@external
@nonreentrant
def requestReward(fileId: uint256, proofIndex: uint256):
    guard._when_running()
    proof: Proof = staticcall Registry(self.dataRegistry).fileProofs(fileId, proofIndex)
    if keccak256(proof.data.instruction) != keccak256(self.proofInstruction):
        raw_revert(method_id("InvalidProof()"))
    if self._files[fileId].rewardAmount != 0:
        raw_revert(method_id("FileAlreadyAdded()"))
    if proof.data.score == 0 or proof.data.score > ONE:
        raw_revert(method_id("InvalidScore()"))
    file: RegistryFile = staticcall Registry(self.dataRegistry).files(fileId)
    signer: address = self._recover(self._proof_hash(file.url, proof.data), proof.signature)
    if not staticcall Tees(self.teePool).isTee(signer):
        raw_revert(method_id("InvalidAttestator()"))
    self._pay(file.ownerAddress, fileId, proofIndex, self.fileRewardFactor * proof.data.score // ONE)


@external
def addRewardsForContributors(contributorsRewardAmount: uint256):
    # The original takes the caller's tokens; here the maintainer makes them.
    guard._only(guard.MAINTAINER_ROLE)
    self.totalContributorsRewardAmount += contributorsRewardAmount
    self.balanceOf[self] += contributorsRewardAmount
    log Transfer(sender=empty(address), receiver=self, amount=contributorsRewardAmount)


@external
def updateFileRewardFactor(newFileRewardFactor: uint256):
    guard._only(guard.DEFAULT_ADMIN_ROLE)
    self.fileRewardFactor = newFileRewardFactor
    log FileRewardFactorUpdated(newFileRewardFactor=newFileRewardFactor)


@external
def updateTeePool(newTeePool: address):
    guard._only(guard.DEFAULT_ADMIN_ROLE)
    self.teePool = newTeePool
    log TeePoolUpdated(newTeePool=newTeePool)


@external
def updateProofInstruction(newProofInstruction: String[MAX_URL]):
    guard._only(guard.DEFAULT_ADMIN_ROLE)
    self.proofInstruction = newProofInstruction
    log ProofInstructionUpdated(newProofInstruction=newProofInstruction)


@external
def updatePublicKey(newPublicKey: String[MAX_URL]):
    guard._only(guard.DEFAULT_ADMIN_ROLE)
    self.publicKey = newPublicKey
    log PublicKeyUpdated(newPublicKey=newPublicKey)


@external
def updateDlpId(newDlpId: uint256):
    guard._only(guard.DEFAULT_ADMIN_ROLE)
    self.dlpId = newDlpId


@internal
def _pay(owner: address, file_id: uint256, proof_index: uint256, amount: uint256):
    self._files[file_id] = FileResponse(
        fileId=file_id, timestamp=block.timestamp, proofIndex=proof_index, rewardAmount=amount
    )
    self._file_at[self.filesListCount] = file_id
    self.filesListCount += 1
    self._files_of[owner] += 1
    if self._files_of[owner] == 1:
        self.contributorsCount += 1
        self._contributor_at[self.contributorsCount] = owner
    self.totalContributorsRewardAmount -= amount
    self.balanceOf[self] -= amount
    self.balanceOf[owner] += amount
    log Transfer(sender=self, receiver=owner, amount=amount)
    log RewardRequested(contributorAddress=owner, fileId=file_id, proofIndex=proof_index, rewardAmount=amount)


@internal
@pure
def _proof_hash(url: String[MAX_URL], data: ProofData) -> bytes32:
    message: bytes32 = keccak256(
        concat(
            convert(url, Bytes[MAX_URL]),
            convert(data.score, bytes32),
            convert(data.dlpId, bytes32),
            convert(data.metadata, Bytes[MAX_TEXT]),
            convert(data.proofUrl, Bytes[MAX_URL]),
            convert(data.instruction, Bytes[MAX_URL]),
        )
    )
    return keccak256(concat(b"\x19Ethereum Signed Message:\n32", message))


@internal
@view
def _recover(digest: bytes32, signature: Bytes[256]) -> address:
    if len(signature) != 65:
        raw_revert(abi_encode(len(signature), method_id=method_id("ECDSAInvalidSignatureLength(uint256)")))
    s: bytes32 = extract32(signature, 32)
    if convert(s, uint256) > convert(MAX_S, uint256):
        raw_revert(abi_encode(s, method_id=method_id("ECDSAInvalidSignatureS(bytes32)")))
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    signer: address = ecrecover(digest, v, convert(extract32(signature, 0), uint256), convert(s, uint256))
    if signer == empty(address):
        raw_revert(method_id("ECDSAInvalidSignature()"))
    return signer
