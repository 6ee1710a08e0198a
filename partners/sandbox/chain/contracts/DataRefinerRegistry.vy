# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A double of Vana's DataRefinerRegistry
@notice Who owns a DLP is told by the maintainer (`setDlpOwner`), since there is no DLP registry here
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
MAX_NAME: constant(uint256) = 256
MAX_LIST: constant(uint256) = 64

struct Schema:
    name: String[MAX_NAME]
    dialect: String[MAX_NAME]
    definitionUrl: String[MAX_URL]

struct RefinerInfo:
    dlpId: uint256
    owner: address
    name: String[MAX_NAME]
    schemaDefinitionUrl: String[MAX_URL]
    refinementInstructionUrl: String[MAX_URL]
    schemaId: uint256

event RefinerAdded:
    refinerId: indexed(uint256)
    dlpId: indexed(uint256)
    name: String[MAX_NAME]
    schemaId: indexed(uint256)
    schemaDefinitionUrl: String[MAX_URL]
    refinementInstructionUrl: String[MAX_URL]

event SchemaAdded:
    schemaId: indexed(uint256)
    name: String[MAX_NAME]
    dialect: String[MAX_NAME]
    definitionUrl: String[MAX_URL]

version: public(constant(uint256)) = 1
dlpRegistry: public(constant(address)) = empty(address)

refinersCount: public(uint256)
schemasCount: public(uint256)
_refiners: HashMap[uint256, RefinerInfo]
_schemas: HashMap[uint256, Schema]
_dlp_owners: HashMap[uint256, address]
_dlp_refiners: HashMap[uint256, DynArray[uint256, MAX_LIST]]
_services: HashMap[uint256, DynArray[address, MAX_LIST]]


@deploy
def __init__():
    guard.__init__()


@external
def setDlpOwner(dlpId: uint256, owner: address):
    guard._only(guard.MAINTAINER_ROLE)
    self._dlp_owners[dlpId] = owner


@external
@view
def refiners(refinerId: uint256) -> RefinerInfo:
    info: RefinerInfo = self._refiners[refinerId]
    if info.schemaId != 0:
        info.schemaDefinitionUrl = self._schemas[info.schemaId].definitionUrl
    return info


@external
@view
def dlpRefiners(dlpId: uint256) -> DynArray[uint256, MAX_LIST]:
    return self._dlp_refiners[dlpId]


@external
@view
def schemas(schemaId: uint256) -> Schema:
    self._check_schema(schemaId)
    return self._schemas[schemaId]


@external
@view
def isValidSchemaId(schemaId: uint256) -> bool:
    return schemaId > 0 and schemaId <= self.schemasCount


@external
@view
def dlpRefinementServices(dlpId: uint256) -> DynArray[address, MAX_LIST]:
    return self._services[dlpId]


@external
@view
def isRefinementService(refinerId: uint256, refinementService: address) -> bool:
    return refinementService in self._services[self._refiners[refinerId].dlpId]


@external
def addSchema(name: String[MAX_NAME], dialect: String[MAX_NAME], definitionUrl: String[MAX_URL]) -> uint256:
    guard._when_running()
    schema_id: uint256 = self.schemasCount + 1
    self.schemasCount = schema_id
    self._schemas[schema_id] = Schema(name=name, dialect=dialect, definitionUrl=definitionUrl)
    log SchemaAdded(schemaId=schema_id, name=name, dialect=dialect, definitionUrl=definitionUrl)
    return schema_id


@external
def addRefiner(
    dlpId: uint256,
    name: String[MAX_NAME],
    schemaDefinitionUrl: String[MAX_URL],
    refinementInstructionUrl: String[MAX_URL],
) -> uint256:
    return self._add_refiner(dlpId, name, 0, schemaDefinitionUrl, refinementInstructionUrl)


@external
def addRefinerWithSchemaId(
    dlpId: uint256, name: String[MAX_NAME], schemaId: uint256, refinementInstructionUrl: String[MAX_URL]
) -> uint256:
    self._check_schema(schemaId)
    return self._add_refiner(dlpId, name, schemaId, self._schemas[schemaId].definitionUrl, refinementInstructionUrl)


@external
def updateSchemaId(refinerId: uint256, newSchemaId: uint256):
    guard._when_running()
    self._only_dlp_owner(self._refiners[refinerId].dlpId)
    self._check_schema(newSchemaId)
    self._refiners[refinerId].schemaId = newSchemaId


@external
def addRefinementService(dlpId: uint256, refinementService: address):
    guard._when_running()
    self._only_dlp_owner(dlpId)
    if refinementService not in self._services[dlpId]:
        self._services[dlpId].append(refinementService)


@external
def removeRefinementService(dlpId: uint256, refinementService: address):
    guard._when_running()
    self._only_dlp_owner(dlpId)
    if refinementService in self._services[dlpId]:
        last: address = self._services[dlpId].pop()
        for i: uint256 in range(MAX_LIST):
            if last == refinementService:
                break
            if self._services[dlpId][i] == refinementService:
                self._services[dlpId][i] = last
                break


@internal
def _add_refiner(
    dlp_id: uint256,
    name: String[MAX_NAME],
    schema_id: uint256,
    schema_url: String[MAX_URL],
    instruction_url: String[MAX_URL],
) -> uint256:
    guard._when_running()
    self._only_dlp_owner(dlp_id)
    refiner_id: uint256 = self.refinersCount + 1
    self.refinersCount = refiner_id
    self._refiners[refiner_id] = RefinerInfo(
        dlpId=dlp_id,
        owner=msg.sender,
        name=name,
        schemaDefinitionUrl=schema_url,
        refinementInstructionUrl=instruction_url,
        schemaId=schema_id,
    )
    self._dlp_refiners[dlp_id].append(refiner_id)
    log RefinerAdded(
        refinerId=refiner_id,
        dlpId=dlp_id,
        name=name,
        schemaId=schema_id,
        schemaDefinitionUrl=schema_url,
        refinementInstructionUrl=instruction_url,
    )
    return refiner_id


@internal
@view
def _only_dlp_owner(dlp_id: uint256):
    if self._dlp_owners[dlp_id] != msg.sender:
        raw_revert(method_id("NotDlpOwner()"))


@internal
@view
def _check_schema(schema_id: uint256):
    if schema_id == 0 or schema_id > self.schemasCount:
        raw_revert(abi_encode(schema_id, method_id=method_id("InvalidSchemaId(uint256)")))
