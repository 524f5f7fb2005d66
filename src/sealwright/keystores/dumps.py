"""Keeps secrets in the memory of a process: for workers, the signer, and commands that make keys or read a PIN."""

import ctypes
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """No core file, and no reading of this process's memory by others of the same user (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl was refused")


def processes() -> ProcessPoolExecutor:
    """Return processes that may be given a secret: each forbids dumps before its first task, as an exec allows them."""
    return ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"), initializer=forbid_dumps)
