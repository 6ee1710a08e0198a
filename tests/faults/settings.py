"""Settings of the fault matrix' processes: the flows' own, with a crash point or a wrong clock where one is wanted."""

import os
import resource

from tests.faults import clocks, crashes, unsure
from tests.flows.settings import *  # noqa: F403

crashes.arm_from_environment()
unsure.arm_from_environment()
clocks.shift_from_environment(os.environ)
if "FAULTS_FILE_BYTES" in os.environ:  # how long each file may become that this process writes, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["FAULTS_FILE_BYTES"]),) * 2)
if "FAULTS_BUSY_S" in os.environ:  # how long this process waits for a locked SQLite file
    DATABASES["default"]["OPTIONS"]["timeout"] = float(os.environ["FAULTS_BUSY_S"])  # noqa: F405
