"""The system calls that code in the sandbox may not make, as a program for its seccomp filter.

What it is not: the wall. Namespaces, a read-only view and dropped capabilities hold by themselves; the filter takes
away what of the kernel nobody's tests need and where its faults were. A refused call fails with an error, as on a
kernel without it, so that programs can go on. Invariants: another architecture's calls (i386, x32) are never let
through, nor is a call that is newer than this table.

Source: numbers of asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64) of Linux 6.10; the layout of the program
and of what it reads is linux/filter.h and linux/seccomp.h.
"""

import errno
import struct
from collections.abc import Mapping
from typing import Literal

Machine = Literal["x86_64", "aarch64"]

Numbers = tuple[int | None, int | None]
"""Of one call: on x86_64 and on aarch64; None where there is no such call."""

REFUSED: Mapping[str, Numbers] = {
    "_sysctl": (156, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "get_kernel_syms": (177, None),
    "get_mempolicy": (239, 236),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "listmount": (458, 458),
    "lookup_dcookie": (212, 18),
    "lsm_get_self_attr": (459, 459),
    "lsm_list_modules": (461, 461),
    "lsm_set_self_attr": (460, 460),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "remap_file_pages": (216, 234),
    "request_key": (249, 218),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "statmount": (457, 457),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
}
"""Fail with EPERM: mounts, namespaces, keyrings, other processes' memory, clocks, modules, kexec, BPF, quotas; and
`vmsplice`, which lets a pipe hold memory that counts for no process."""

UNKNOWN: Mapping[str, Numbers] = {
    "clone3": (435, 435),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "semget": (64, 190),
    "shmget": (29, 194),
}
"""Fail with ENOSYS, as on a kernel without them: programs fall back to older ways. `clone3` is here because a filter
cannot read its flags; shared memory of System V, message queues and `memfd`s because no limit counts them."""

LOOKED_AT: Mapping[str, Numbers] = {
    "clone": (56, 220),
    "ioctl": (16, 29),
    "mmap": (9, 222),
    "personality": (135, 92),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "socket": (41, 198),
}
"""Let through or not by their arguments."""

NEWEST = 462
"""`mseal`; from 424 on numbers are the same everywhere. What is newer fails with ENOSYS."""

_ARCHITECTURE: Mapping[Machine, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h."""

_X32 = 0x40000000

NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of linux/sched.h. CLONE_NEWTIME cannot be given to
`clone`, whose lowest byte is a signal."""

FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6: within the sandbox's own network. Not AF_VSOCK, which no namespace holds, nor AF_PACKET,
AF_ALG, AF_NETLINK and forty others."""

TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: type into a terminal."""

_PERSONALITIES = (0, 0xFFFFFFFF)
"""The usual one, and asking which it is."""

SHARED_ANONYMOUS, SHARED_ANONYMOUS_BITS, HUGE_PAGES = 0x21, 0x2F, 0x40000
"""MAP_SHARED|MAP_ANONYMOUS, the bits of both, MAP_HUGETLB: memory that a process holds and does not count as its own
once it has let go of the pages (MADV_DONTNEED). A file in /dev/shm serves, which the folder's size bounds."""

CORE = 4
"""RLIMIT_CORE. Runs begin with 1, at which the kernel hands a dump to nobody; at 0 it still calls the machine's own
handler, as root and outside. **Source:** core(5), "Piping core dumps to a program"; fs/coredump.c, `limit == 1`."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
"""BPF_LD|W|ABS, BPF_JMP|JEQ|K, |JGE|K, |JSET|K, BPF_ALU|AND|K, BPF_RET|K."""

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
"""SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO."""

_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
"""In struct seccomp_data. An argument is 8 bytes, its low half first on both machines."""


def _do(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _fails(error: int) -> bytes:
    return _do(_RETURN, _ERRNO | error)


def _argument(index: int) -> bytes:
    return _do(_LOAD, _ARGUMENTS_AT + 8 * index)


def _high_half(index: int) -> bytes:
    return _do(_LOAD, _ARGUMENTS_AT + 8 * index + 4)


def _refuse_equal(*values: int, error: int = errno.EPERM) -> bytes:
    return b"".join(_do(_EQUAL, value, otherwise=1) + _fails(error) for value in values)


def _refuse_bits(bits: int) -> bytes:
    return _do(_ANY_BIT, bits, otherwise=1) + _fails(errno.EPERM)


def _only(*values: int, error: int = errno.EPERM) -> bytes:
    tests = b"".join(_do(_EQUAL, value, then=len(values) - at) for at, value in enumerate(values))
    return tests + _fails(error)


_SETS_A_LIMIT = _argument(2) + _do(_EQUAL, 0, otherwise=2) + _high_half(2) + _do(_EQUAL, 0, then=3)
"""Where prlimit64 is only asked what a limit is, goes on behind the next test of an argument."""

_BODIES: Mapping[str, bytes] = {
    "clone": _argument(0) + _refuse_bits(NAMESPACE_FLAGS),
    "ioctl": _argument(1) + _refuse_equal(*TERMINAL_INPUT),
    "mmap": _argument(3)
    + _refuse_bits(HUGE_PAGES)
    + _do(_AND, SHARED_ANONYMOUS_BITS)
    + _refuse_equal(SHARED_ANONYMOUS),
    "personality": _argument(0) + _only(*_PERSONALITIES),
    "prlimit64": _SETS_A_LIMIT + _argument(1) + _refuse_equal(CORE),
    "setrlimit": _argument(0) + _refuse_equal(CORE),
    "socket": _argument(0) + _only(*FAMILIES, error=errno.EAFNOSUPPORT),
}
"""What is done about those that are looked at, but for letting them through in the end."""


def program(machine: Machine) -> bytes:
    """The filter for one kind of machine, as `bwrap --seccomp` takes it."""
    column = 0 if machine == "x86_64" else 1
    parts = [
        _do(_LOAD, _ARCHITECTURE_AT),
        _do(_EQUAL, _ARCHITECTURE[machine], then=1),
        _do(_RETURN, _KILL),
        _do(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        parts += [_do(_AT_LEAST, _X32, otherwise=1), _do(_RETURN, _KILL)]
    parts += [_do(_AT_LEAST, NEWEST + 1, otherwise=1), _fails(errno.ENOSYS)]
    for table, error in ((REFUSED, errno.EPERM), (UNKNOWN, errno.ENOSYS)):
        for numbers in table.values():
            if (number := numbers[column]) is not None:
                parts += [_do(_EQUAL, number, otherwise=1), _fails(error)]
    for call, body in _BODIES.items():
        ends = body + _do(_RETURN, _ALLOW)
        number = LOOKED_AT[call][column]
        assert number is not None
        parts += [_do(_EQUAL, number, otherwise=len(ends) // 8), ends]
    return b"".join([*parts, _do(_RETURN, _ALLOW)])
