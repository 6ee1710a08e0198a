# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A double of Vana's DataRegistry (v1)
@notice Same selectors, topics, errors and tuples; strings and lists have upper bounds
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

interface RefinerRegistry:
    def isValidSchemaId(schemaId: uint256) -> bool: view
    def isRefinementService(refinerId: uint256, service: address) -> bool: view

MAX_URL: constant(uint256) = 2048
MAX_KEY: constant(uint256) = 4096
MAX_TEXT: constant(uint256) = 4096
MAX_PERMISSIONS: constant(uint256) = 8

struct Permission:
    account: address
    key: String[MAX_KEY]

struct ProofData:
    score: uint256
    dlpId: uint256
    metadata: String[MAX_TEXT]
    proofUrl: String[MAX_URL]
    instruction: String[MAX_URL]

struct Proof:
    signature: Bytes[256]
    data: ProofData

struct FileResponse:
    id: uint256
    ownerAddress: address
    url: String[MAX_URL]
    schemaId: uint256
    addedAtBlock: uint256

event FileAdded:
    fileId: indexed(uint256)
    ownerAddress: indexed(address)
    url: String[MAX_URL]

event FileAddedV2:
    fileId: indexed(uint256)
    ownerAddress: indexed(address)
    url: String[MAX_URL]
    schemaId: uint256

event PermissionGranted:
    fileId: indexed(uint256)
    account: indexed(address)

event ProofAdded:
    fileId: indexed(uint256)
    ownerAddress: indexed(address)
    proofIndex: uint256
    dlpId: indexed(uint256)
    score: uint256
    proofUrl: String[MAX_URL]

event RefinementAdded:
    fileId: indexed(uint256)
    refinerId: indexed(uint256)
    url: String[MAX_URL]

event RefinementUpdated:
    fileId: indexed(uint256)
    refinerId: indexed(uint256)
    url: String[MAX_URL]

DATA_PORTABILITY_ROLE: public(constant(bytes32)) = keccak256("DATA_PORTABILITY_ROLE")
REFINEMENT_SERVICE_ROLE: public(constant(bytes32)) = keccak256("REFINEMENT_SERVICE_ROLE")
version: public(constant(uint256)) = 2
trustedForwarder: public(constant(address)) = empty(address)

filesCount: public(uint256)
emitLegacyEvents: public(bool)
dataRefinerRegistry: public(address)
filePermissions: public(HashMap[uint256, HashMap[address, String[MAX_KEY]]])
fileRefinements: public(HashMap[uint256, HashMap[uint256, String[MAX_URL]]])
_id_by_url_hash: HashMap[bytes32, uint256]
_owners: HashMap[uint256, address]
_urls: HashMap[uint256, String[MAX_URL]]
_schemas: HashMap[uint256, uint256]
_blocks: HashMap[uint256, uint256]
_proofs: HashMap[uint256, HashMap[uint256, Proof]]
_proofs_count: HashMap[uint256, uint256]


@deploy
def __init__():
    guard.__init__()
    self.emitLegacyEvents = True


@external
@view
def files(fileId: uint256) -> FileResponse:
    return FileResponse(
        id=fileId,
        ownerAddress=self._owners[fileId],
        url=self._urls[fileId],
        schemaId=self._schemas[fileId],
        addedAtBlock=self._blocks[fileId],
    )


@external
@view
def fileIdByUrl(url: String[MAX_URL]) -> uint256:
    return self._id_by_url_hash[keccak256(url)]


@external
@view
def fileProofs(fileId: uint256, index: uint256) -> Proof:
    return self._proofs[fileId][index]


@external
def addFile(url: String[MAX_URL]) -> uint256:
    return self._add_file(url, msg.sender, 0)


@external
def addFileWithSchema(url: String[MAX_URL], schemaId: uint256) -> uint256:
    return self._add_file(url, msg.sender, schemaId)


@external
def addFileWithPermissions(
    url: String[MAX_URL], ownerAddress: address, permissions: DynArray[Permission, MAX_PERMISSIONS]
) -> uint256:
    file_id: uint256 = self._add_file(url, ownerAddress, 0)
    for permission: Permission in permissions:
        self._permit(file_id, permission.account, permission.key)
    return file_id


@external
def addFileWithPermissionsAndSchema(
    url: String[MAX_URL],
    ownerAddress: address,
    permissions: DynArray[Permission, MAX_PERMISSIONS],
    schemaId: uint256,
) -> uint256:
    file_id: uint256 = self._add_file(url, ownerAddress, schemaId)
    for permission: Permission in permissions:
        self._permit(file_id, permission.account, permission.key)
    return file_id


@external
def addFilePermission(fileId: uint256, account: address, key: String[MAX_KEY]):
    guard._when_running()
    self._only_owner(fileId)
    self._permit(fileId, account, key)


@external
def addFilePermissionsAndSchema(
    fileId: uint256, permissions: DynArray[Permission, MAX_PERMISSIONS], schemaId: uint256
):
    guard._when_running()
    self._only_owner(fileId)
    self._check_schema(schemaId)
    self._schemas[fileId] = schemaId
    log FileAddedV2(fileId=fileId, ownerAddress=self._owners[fileId], url=self._urls[fileId], schemaId=schemaId)
    for permission: Permission in permissions:
        self._permit(fileId, permission.account, permission.key)


@external
def addProof(fileId: uint256, proof: Proof):
    guard._when_running()
    index: uint256 = self._proofs_count[fileId] + 1
    self._proofs_count[fileId] = index
    self._proofs[fileId][index] = proof
    log ProofAdded(
        fileId=fileId,
        ownerAddress=self._owners[fileId],
        proofIndex=index,
        dlpId=proof.data.dlpId,
        score=proof.data.score,
        proofUrl=proof.data.proofUrl,
    )


@external
def addRefinementWithPermission(
    fileId: uint256, refinerId: uint256, url: String[MAX_URL], account: address, key: String[MAX_KEY]
):
    guard._when_running()
    if not guard.hasRole[REFINEMENT_SERVICE_ROLE][msg.sender]:
        if not staticcall RefinerRegistry(self.dataRefinerRegistry).isRefinementService(refinerId, msg.sender):
            raw_revert(method_id("NoPermission()"))
    if fileId == 0 or fileId > self.filesCount:
        raw_revert(method_id("FileNotFound()"))
    if len(url) == 0:
        raw_revert(method_id("InvalidUrl()"))
    if len(self.fileRefinements[fileId][refinerId]) != 0:
        log RefinementUpdated(fileId=fileId, refinerId=refinerId, url=url)
    else:
        log RefinementAdded(fileId=fileId, refinerId=refinerId, url=url)
    self.fileRefinements[fileId][refinerId] = url
    if len(self.filePermissions[fileId][account]) == 0:
        self._permit(fileId, account, key)


@external
def updateEmitLegacyEvents(newEmitLegacyEvents: bool):
    guard._only(guard.MAINTAINER_ROLE)
    self.emitLegacyEvents = newEmitLegacyEvents


@external
def updateDataRefinerRegistry(newDataRefinerRegistry: address):
    guard._only(guard.MAINTAINER_ROLE)
    self.dataRefinerRegistry = newDataRefinerRegistry


@internal
def _add_file(url: String[MAX_URL], owner: address, schema_id: uint256) -> uint256:
    guard._when_running()
    url_hash: bytes32 = keccak256(url)
    if self._id_by_url_hash[url_hash] != 0:
        raw_revert(method_id("FileUrlAlreadyUsed()"))
    self._check_schema(schema_id)
    file_id: uint256 = self.filesCount + 1
    self.filesCount = file_id
    self._id_by_url_hash[url_hash] = file_id
    self._owners[file_id] = owner
    self._urls[file_id] = url
    self._schemas[file_id] = schema_id
    self._blocks[file_id] = block.number
    if self.emitLegacyEvents:
        log FileAdded(fileId=file_id, ownerAddress=owner, url=url)
    log FileAddedV2(fileId=file_id, ownerAddress=owner, url=url, schemaId=schema_id)
    return file_id


@internal
def _permit(file_id: uint256, account: address, key: String[MAX_KEY]):
    self.filePermissions[file_id][account] = key
    log PermissionGranted(fileId=file_id, account=account)


@internal
@view
def _only_owner(file_id: uint256):
    if msg.sender != self._owners[file_id] and not guard.hasRole[DATA_PORTABILITY_ROLE][msg.sender]:
        raw_revert(method_id("NotFileOwner()"))


@internal
@view
def _check_schema(schema_id: uint256):
    # With no refiner registry set this reverts bare, as the original does.
    if schema_id != 0:
        if not staticcall RefinerRegistry(self.dataRefinerRegistry).isValidSchemaId(schema_id):
            raw_revert(abi_encode(schema_id, method_id=method_id("InvalidSchemaId(uint256)")))
