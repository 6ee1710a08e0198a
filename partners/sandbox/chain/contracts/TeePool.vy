# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A double of Vana's TeePool
@notice Every request makes and pays a new job; nothing is checked about the file, as in the original
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
MAX_TEES: constant(uint256) = 64
MAX_JOBS: constant(uint256) = 64

STATUS_ACTIVE: constant(uint8) = 1
STATUS_REMOVED: constant(uint8) = 2
JOB_SUBMITTED: constant(uint8) = 1
JOB_COMPLETED: constant(uint8) = 2
JOB_CANCELED: constant(uint8) = 3

struct ProofData:
    score: uint256
    dlpId: uint256
    metadata: String[MAX_TEXT]
    proofUrl: String[MAX_URL]
    instruction: String[MAX_URL]

struct Proof:
    signature: Bytes[256]
    data: ProofData

struct Job:
    fileId: uint256
    bidAmount: uint256
    status: uint8
    addedTimestamp: uint256
    ownerAddress: address
    teeAddress: address

struct TeeInfo:
    teeAddress: address
    url: String[MAX_URL]
    status: uint8
    amount: uint256
    withdrawnAmount: uint256
    jobsCount: uint256
    publicKey: String[MAX_URL]

interface Registry:
    def addProof(fileId: uint256, proof: Proof): nonpayable

event JobSubmitted:
    jobId: indexed(uint256)
    fileId: indexed(uint256)
    teeAddress: address
    bidAmount: uint256

event JobCanceled:
    jobId: indexed(uint256)

event ProofAdded:
    attestator: indexed(address)
    jobId: indexed(uint256)
    fileId: indexed(uint256)

event TeeAdded:
    teeAddress: indexed(address)

event TeeRemoved:
    teeAddress: indexed(address)

event Claimed:
    teeAddress: indexed(address)
    amount: uint256

version: public(constant(uint256)) = 1
trustedForwarder: public(constant(address)) = empty(address)

dataRegistry: public(address)
teeFee: public(uint256)
cancelDelay: public(uint256)
jobsCount: public(uint256)
_jobs: HashMap[uint256, Job]
_file_jobs: HashMap[uint256, DynArray[uint256, MAX_JOBS]]
_tees: HashMap[address, TeeInfo]
_all: DynArray[address, MAX_TEES]
_active: DynArray[address, MAX_TEES]


@deploy
def __init__(dataRegistry: address, cancelDelay: uint256):
    guard.__init__()
    self.dataRegistry = dataRegistry
    self.cancelDelay = cancelDelay


@external
@view
def jobs(jobId: uint256) -> Job:
    return self._jobs[jobId]


@external
@view
def fileJobIds(fileId: uint256) -> DynArray[uint256, MAX_JOBS]:
    return self._file_jobs[fileId]


@external
@view
def tees(teeAddress: address) -> TeeInfo:
    return self._tee_info(teeAddress)


@external
@view
def isTee(teeAddress: address) -> bool:
    return self._tees[teeAddress].status == STATUS_ACTIVE


@external
@view
def teesCount() -> uint256:
    return len(self._all)


@external
@view
def teeList() -> DynArray[address, MAX_TEES]:
    return self._all


@external
@view
def teeListAt(index: uint256) -> TeeInfo:
    return self._tee_info(self._all[index])


@external
@view
def activeTeesCount() -> uint256:
    return len(self._active)


@external
@view
def activeTeeList() -> DynArray[address, MAX_TEES]:
    return self._active


@external
@view
def activeTeeListAt(index: uint256) -> TeeInfo:
    return self._tee_info(self._active[index])


@external
@payable
def requestContributionProof(fileId: uint256):
    self._submit(fileId)


@external
@payable
def submitJob(fileId: uint256):
    self._submit(fileId)


@external
@nonreentrant
def cancelJob(jobId: uint256):
    guard._when_running()
    job: Job = self._jobs[jobId]
    if job.ownerAddress != msg.sender:
        raw_revert(method_id("NotJobOwner()"))
    if job.status != JOB_SUBMITTED:
        raw_revert(method_id("InvalidJobStatus()"))
    if job.addedTimestamp + self.cancelDelay > block.timestamp:
        raw_revert(method_id("CancelDelayNotPassed()"))
    self._jobs[jobId].status = JOB_CANCELED
    self._tees[job.teeAddress].jobsCount -= 1
    self._pay(msg.sender, job.bidAmount)
    log JobCanceled(jobId=jobId)


@external
def addProof(jobId: uint256, proof: Proof):
    if self._tees[msg.sender].status != STATUS_ACTIVE:
        raw_revert(method_id("TeeNotActive()"))
    guard._when_running()
    job: Job = self._jobs[jobId]
    if job.status != JOB_SUBMITTED:
        raw_revert(method_id("InvalidJobStatus()"))
    if job.teeAddress != msg.sender:
        raw_revert(method_id("InvalidJobTee()"))
    self._jobs[jobId].status = JOB_COMPLETED
    self._tees[msg.sender].amount += job.bidAmount
    self._tees[msg.sender].jobsCount -= 1
    extcall Registry(self.dataRegistry).addProof(job.fileId, proof)
    log ProofAdded(attestator=msg.sender, jobId=jobId, fileId=job.fileId)


@external
@nonreentrant
def claim():
    guard._when_running()
    amount: uint256 = self._tees[msg.sender].amount - self._tees[msg.sender].withdrawnAmount
    if amount == 0:
        raw_revert(method_id("NothingToClaim()"))
    self._tees[msg.sender].withdrawnAmount = self._tees[msg.sender].amount
    self._pay(msg.sender, amount)
    log Claimed(teeAddress=msg.sender, amount=amount)


@external
def addTee(teeAddress: address, url: String[MAX_URL], publicKey: String[MAX_URL]):
    guard._only(guard.MAINTAINER_ROLE)
    if self._tees[teeAddress].status == STATUS_ACTIVE:
        raw_revert(method_id("TeeAlreadyAdded()"))
    if self._tees[teeAddress].status != STATUS_REMOVED:
        self._all.append(teeAddress)
    self._active.append(teeAddress)
    self._tees[teeAddress].status = STATUS_ACTIVE
    self._tees[teeAddress].url = url
    self._tees[teeAddress].publicKey = publicKey
    log TeeAdded(teeAddress=teeAddress)


@external
def removeTee(teeAddress: address):
    guard._only(guard.MAINTAINER_ROLE)
    if self._tees[teeAddress].status != STATUS_ACTIVE:
        raw_revert(method_id("TeeNotActive()"))
    self._tees[teeAddress].status = STATUS_REMOVED
    last: address = self._active.pop()
    for i: uint256 in range(MAX_TEES):
        if last == teeAddress:
            break
        if self._active[i] == teeAddress:
            self._active[i] = last
            break
    log TeeRemoved(teeAddress=teeAddress)


@external
def updateTeeFee(newTeeFee: uint256):
    guard._only(guard.MAINTAINER_ROLE)
    self.teeFee = newTeeFee


@external
def updateCancelDelay(newCancelDelay: uint256):
    guard._only(guard.MAINTAINER_ROLE)
    self.cancelDelay = newCancelDelay


@external
def updateDataRegistry(newDataRegistry: address):
    guard._only(guard.MAINTAINER_ROLE)
    self.dataRegistry = newDataRegistry


@internal
@payable
def _submit(file_id: uint256):
    guard._when_running()
    if msg.value < self.teeFee:
        raw_revert(method_id("InsufficientFee()"))
    if len(self._active) == 0:
        raw_revert(method_id("NoActiveTee()"))
    job_id: uint256 = self.jobsCount + 1
    self.jobsCount = job_id
    tee: address = self._active[job_id % len(self._active)]
    self._jobs[job_id] = Job(
        fileId=file_id,
        bidAmount=msg.value,
        status=JOB_SUBMITTED,
        addedTimestamp=block.timestamp,
        ownerAddress=msg.sender,
        teeAddress=tee,
    )
    self._file_jobs[file_id].append(job_id)
    self._tees[tee].jobsCount += 1
    log JobSubmitted(jobId=job_id, fileId=file_id, teeAddress=tee, bidAmount=msg.value)


@internal
@view
def _tee_info(tee: address) -> TeeInfo:
    info: TeeInfo = self._tees[tee]
    info.teeAddress = tee
    return info


@internal
def _pay(to: address, amount: uint256):
    success: bool = raw_call(to, b"", value=amount, revert_on_failure=False)
    if not success:
        raw_revert(method_id("TransferFailed()"))
