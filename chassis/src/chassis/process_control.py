"""What a process asks the system for itself: that nothing it has in memory becomes a file when it crashes."""

import ctypes
import os
import resource
import sys

PR_SET_DUMPABLE = 4
IS_LINUX = sys.platform == "linux"


def control_process(option: int, argument: int) -> None:
    """Set one of Linux' process attributes; other systems have none.

    Raises:
        OSError: the system refused.
    """
    if not IS_LINUX:
        return
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def forbid_core_dumps() -> None:
    """Let no crash and, on Linux, no debugger of the same user write this process's memory anywhere."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control_process(PR_SET_DUMPABLE, 0)
