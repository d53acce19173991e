"""Attempts to get out of the sandbox, or to take more of the machine than one run may. Each is a program that says
ESCAPED and what it reached; one that is held says nothing of the kind.

What the machine has that must not be reached comes in as constants (`Machine`). As a program, given a folder, it makes all
attempts and writes what came of them as JSON: so they are made by another user.
"""

import asyncio
import json
import os
import resource
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trimtab.sandbox import Limits, Run, Sandbox, SandboxSettings

MIB = 1024 * 1024

LIMITS = Limits(
    wall_s=60.0, cpu_s=30.0, memory_bytes=256 * MIB, processes=16, file_bytes=8 * MIB, folder_bytes=16 * MIB
)

PRELUDE = """
import ctypes, errno, os, platform, signal, socket, stat, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == 'x86_64'
def escaped(what): print('ESCAPED', what, flush=True)
def call(on_x86, on_arm, *arguments):
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(on_x86 if x86 else on_arm), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return done, ctypes.get_errno()
def refused(what, on_x86, on_arm, *arguments):
    done, error = call(on_x86, on_arm, *arguments)
    if done >= 0 or error not in (errno.EPERM, errno.ENOSYS): escaped(f'{what}: {done} {errno.errorcode.get(error)}')
def reads(*paths):
    for path in paths:
        try:
            with open(path, 'rb') as file: found = file.read(4096)
        except OSError: continue
        if found: escaped(f'read {path}: {found[:60]!r}')
def writes(*paths, mode='wb'):
    for path in paths:
        try:
            with open(path, mode, buffering=0) as file: file.write(b'x')
        except OSError: continue
        escaped(f'wrote {path}')
"""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One way out."""

    program: str
    ends: tuple[str, ...] = ("exited",)
    """How it may end."""
    keep: tuple[str, ...] = ()
    """Paths of which nothing may come out, or (`most_kept`) no more than so many bytes."""
    most_kept: int = 0
    limits: Limits = LIMITS
    environment: dict[str, str] = {}
    files: dict[str, bytes] = {}


def tight(**changed: float) -> Limits:
    """The limits of all attempts but for these."""
    return Limits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__}, **changed})  # type: ignore[arg-type]


ATTEMPTS: dict[str, Attempt] = {
    # What the machine holds.
    "read a file of the machine": Attempt(program="reads(SECRET_FILE, '../../../..' + SECRET_FILE)"),
    "read passwords and keys": Attempt(
        program="reads('/etc/shadow', '/etc/gshadow', '/etc/sudoers', '/etc/ssl/private/ssl-cert-snakeoil.key', '/etc/machine-id', '/etc/hostname', '/etc/fstab', '/etc/resolv.conf')"
    ),
    "read homes, logs and what runs": Attempt(
        program="""
for folder in ('/root', '/home', '/var', '/run', '/srv', '/opt', '/mnt', '/media', '/boot', '/sys', '/usr/local/etc'):
    try: names = os.listdir(folder)
    except OSError: continue
    if names: escaped(f'{folder}: {names[:3]}')"""
    ),
    "reach the machine's root through /proc": Attempt(
        program="""
for pid in [name for name in os.listdir('/proc') if name.isdigit()]:
    for way in ('root', 'cwd'): reads(f'/proc/{pid}/{way}{SECRET_FILE}', f'/proc/{pid}/{way}/../../..{SECRET_FILE}')"""
    ),
    "read the old root by way of a descriptor or '..'": Attempt(
        program="""
for number in range(3, 256):
    try: found = os.fstat(number)
    except OSError: continue
    escaped(f'descriptor {number} is open: {os.readlink(f"/proc/self/fd/{number}")}')
os.chdir('/')
for _ in range(20): os.chdir('..')
if os.path.exists(SECRET_FILE.lstrip('/')): escaped('went up')"""
    ),
    "find a secret in an environment": Attempt(
        program="""
for pid in [name for name in os.listdir('/proc') if name.isdigit()]:
    try: found = open(f'/proc/{pid}/environ', 'rb').read()
    except OSError: continue
    if SECRET.encode() in found: escaped(f'environ of {pid}')
if set(os.environ) - {'PATH', 'HOME', 'LANG', 'TMPDIR', 'LC_CTYPE'}: escaped(os.environ)"""
    ),
    "write to an inherited descriptor": Attempt(
        program="""
for number in range(3, 256):
    try: os.write(number, b'x')
    except OSError: continue
    escaped(f'wrote to {number}')"""
    ),
    "write to the files that others have open": Attempt(
        program="""
for pid in [name for name in os.listdir('/proc') if name.isdigit()]:
    try: numbers = os.listdir(f'/proc/{pid}/fd')
    except OSError: continue
    for number in numbers:
        try: target = os.readlink(f'/proc/{pid}/fd/{number}')
        except OSError: continue
        if target.startswith('/') and target not in ('/dev/null', f'/proc/{pid}/fd'): escaped(f'{pid} has {target}')"""
    ),
    "see the machine's processes": Attempt(
        program="""
pids = [int(name) for name in os.listdir('/proc') if name.isdigit()]
if sorted(pids) != [1, 2] or os.getpid() != 2: escaped(pids)"""
    ),
    "read the kernel's own files": Attempt(
        program="""
reads('/proc/kcore', '/proc/kallsyms', '/proc/cmdline', '/proc/keys', '/proc/modules', '/proc/kmsg', '/proc/interrupts', '/proc/timer_list', '/dev/mem', '/dev/kmem', '/dev/port', '/dev/kmsg', '/dev/sda', '/dev/vda', '/sys/kernel/notes', '/sys/kernel/vmcoreinfo')"""
    ),
    "find devices": Attempt(
        program="""
for name in os.listdir('/dev'):
    if name not in ('null', 'zero', 'full', 'random', 'urandom', 'fd', 'stdin', 'stdout', 'stderr', 'shm'): escaped(name)"""
    ),
    # What can be written to.
    "write to the system": Attempt(
        program="""
writes('/x', '/usr/x', '/usr/bin/x', '/usr/lib/x', '/etc/x', '/etc/passwd', '/dev/x', '/box/x/../../x', '/bin/x', '/proc/x', '/var/x')
for name in ('bin/python3', 'bin/env'): writes(f'/usr/{name}', mode='r+b')
for do in (lambda: os.rename('/usr/bin/env', '/usr/bin/envy'), lambda: os.remove('/etc/passwd'), lambda: os.mkdir('/new'), lambda: os.chmod('/usr', 0o777), lambda: os.utime('/usr'), lambda: os.symlink('/x', '/usr/x')):
    try: do()
    except OSError: continue
    escaped('changed the system')"""
    ),
    "change the kernel's settings": Attempt(
        program="""
writes('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sys/vm/drop_caches', '/proc/sys/kernel/modprobe', '/proc/sys/user/max_user_namespaces', '/proc/sys/net/ipv4/ip_forward', '/proc/sysrq-trigger', '/proc/self/uid_map', '/proc/self/gid_map', '/proc/self/setgroups', '/proc/1/uid_map', '/sys/kernel/uevent_helper', '/sys/fs/cgroup/release_agent')
try:
    open('/proc/self/oom_score_adj', 'w').write(str(OOM_SCORE - 1)); escaped('oom_score_adj')
except OSError: pass"""
    ),
    "write over a program that others start": Attempt(
        program="""
for pid in ('1', 'self'):
    try:
        os.open(f'/proc/{pid}/exe', os.O_WRONLY); escaped(f'/proc/{pid}/exe')
    except OSError: pass"""
    ),
    "mount": Attempt(
        program="""
here = os.getcwd().encode()
refused('tmpfs', 165, 40, b'none', here, b'tmpfs', 0, None)
refused('proc', 165, 40, b'none', here, b'proc', 0, None)
refused('bind', 165, 40, b'/usr', here, None, 4096, None)
refused('rw', 165, 40, None, b'/usr', None, 32 | 4096, None)
refused('fsopen', 430, 430, b'tmpfs', 0)
refused('open_tree', 428, 428, -100, b'/', 1)
refused('move_mount', 429, 429, -100, b'/usr', -100, here, 0)
refused('mount_setattr', 442, 442, -100, b'/usr', 0, None, 0)"""
    ),
    "unmount what hides something": Attempt(
        program="""
for place in (b'/etc/passwd', b'/proc/kcore', b'/proc/sys', b'/dev', b'/usr'): refused(place, 166, 39, place, 2)"""
    ),
    "change the root": Attempt(
        program="""
refused('chroot', 161, 51, b'/box/folder')
os.makedirs('a/b'); refused('pivot_root', 155, 41, b'a', b'a/b')"""
    ),
    "make a device": Attempt(
        program="""
for kind, number in ((stat.S_IFBLK, os.makedev(254, 0)), (stat.S_IFBLK, os.makedev(8, 0)), (stat.S_IFCHR, os.makedev(1, 1))):
    try: os.mknod(f'device-{number}-{kind}', 0o666 | kind, number)
    except OSError: continue
    escaped('mknod')"""
    ),
    # Who one is.
    "become root": Attempt(
        program="""
for do in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0]), lambda: os.seteuid(65534)):
    try: do()
    except OSError: continue
    escaped('changed who it is')
status = open('/proc/self/status').read()
for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
    if int(status.split(name + ':')[1].split()[0], 16): escaped(name)
if status.split('NoNewPrivs:')[1].split()[0] != '1' or status.split('Seccomp:')[1].split()[0] != '2': escaped('unfiltered')"""
    ),
    "gain by a setuid program": Attempt(
        program="""
for name in ('su', 'mount', 'newgrp', 'passwd', 'chsh', 'sudo', 'pkexec'):
    if os.path.exists(f'/usr/bin/{name}'):
        done = subprocess.run([f'/usr/bin/{name}', '-c', 'id -u'], input=b'', capture_output=True)
        if done.stdout.strip() == b'0': escaped(name)
import shutil; shutil.copy('/usr/bin/id', 'id'); os.chmod('id', 0o6777)
if subprocess.run(['./id', '-u'], capture_output=True).stdout.strip() == b'0': escaped('own setuid program')"""
    ),
    "make namespaces": Attempt(
        program="""
for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000, 0x80): refused(f'unshare {flag:x}', 272, 97, flag)
done = subprocess.run(['unshare', '-U', 'true'], capture_output=True)
if done.returncode == 0: escaped('unshare -U')"""
    ),
    "make namespaces by clone": Attempt(
        program="""
for flag in (0x10000000, 0x20000000 | 0x10000000, 0x40000000):
    done, error = call(56, 220, flag | signal.SIGCHLD, 0, 0, 0, 0)
    if done == 0: os._exit(0)
    if done > 0: escaped(f'clone {flag:x}')
arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, signal.SIGCHLD)
done, error = call(435, 435, ctypes.byref(arguments), 88)
if done == 0: os._exit(0)
if done > 0 or error != errno.ENOSYS: escaped('clone3')"""
    ),
    "join namespaces": Attempt(
        program="""
for pid in ('1', 'self'):
    for name in ('user', 'mnt', 'pid', 'net'):
        try: held = os.open(f'/proc/{pid}/ns/{name}', os.O_RDONLY)
        except OSError: continue
        refused('setns', 308, 268, held, 0)"""
    ),
    # Other system calls.
    "trace a process": Attempt(
        program="""
refused('attach', 101, 117, 16, 1, 0, 0); refused('seize', 101, 117, 0x4206, os.getppid(), 0, 0); refused('traceme', 101, 117, 0, 0, 0, 0)
refused('process_vm_readv', 310, 270, 1, 0, 0, 0, 0, 0); refused('process_vm_writev', 311, 271, 1, 0, 0, 0, 0, 0)
refused('pidfd_getfd', 438, 438, 3, 0, 0); refused('kcmp', 312, 272, 1, 1, 0, 0, 0)"""
    ),
    "use the kernel's keyrings": Attempt(
        program="""
refused('add_key', 248, 217, b'user', b'name', b'value', 5, -3); refused('request_key', 249, 218, b'user', b'name', None, -3)
refused('keyctl', 250, 219, 0, -3, 1)"""
    ),
    "use calls that broke kernels": Attempt(
        program="""
refused('bpf', 321, 280, 0, None, 0); refused('userfaultfd', 323, 282, 1); refused('perf_event_open', 298, 241, None, 0, -1, -1, 0)
refused('io_uring_setup', 425, 425, 8, None); refused('open_by_handle_at', 304, 265, -100, None, 0); refused('fanotify_init', 300, 262, 0, 0)
refused('newer than the table', 463, 463); refused('far newer', 1000, 1000); refused('personality', 135, 92, 0x0400000)"""
    ),
    "load code into the kernel": Attempt(
        program="""
refused('init_module', 175, 105, None, 0, b''); refused('finit_module', 313, 273, 0, b'', 0); refused('delete_module', 176, 106, b'x', 0)
refused('kexec_load', 246, 104, 0, 0, None, 0); refused('kexec_file_load', 320, 294, 0, 0, 0, b'', 0); refused('reboot', 169, 142, 0xfee1dead, 672274793, 0, None)
refused('swapon', 167, 224, b'x', 0); refused('syslog', 103, 116, 3, None, 0); refused('acct', 163, 89, b'x')"""
    ),
    "set the clock and the name": Attempt(
        program="""
now = struct.pack('qq', 0, 0)
refused('clock_settime', 227, 112, 0, now); refused('settimeofday', 164, 170, now, None); refused('adjtimex', 159, 171, bytes(208))
refused('clock_adjtime', 305, 266, 0, bytes(208)); refused('sethostname', 170, 161, b'x', 1); refused('setdomainname', 171, 162, b'x', 1)"""
    ),
    "speak as another machine": Attempt(
        program="""
if x86:
    import mmap
    for code in (b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3', b'\\xb8\\x27\\x00\\x00\\x40\\x0f\\x05\\xc3'):  # getpid of i386, and of x32
        child = os.fork()
        if child == 0:
            held = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
            held.write(code)
            ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(held)))()
            os._exit(7)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGSYS: escaped(code)"""
    ),
    "type into a terminal": Attempt(
        program="""
import fcntl
for name in ('/dev/tty', '/dev/console', '/dev/ptmx', '/dev/pts/0', '/dev/tty0'):
    try: os.open(name, os.O_RDWR); escaped(name)
    except OSError: pass
for request in (0x5412, 0x541c, 0x1_0000_5412):
    for number in (0, 1, 2): refused(f'ioctl {request:x}', 16, 29, number, request, b'x')"""
    ),
    "go first": Attempt(
        program="""
for do in (lambda: os.setpriority(os.PRIO_PROCESS, 0, -5), lambda: os.setpriority(os.PRIO_PROCESS, 0, 0), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))):
    try: do()
    except OSError: continue
    escaped('priority')"""
    ),
    "raise its limits": Attempt(
        program="""
import resource
for name in ('AS', 'NPROC', 'FSIZE', 'NOFILE', 'CPU', 'MEMLOCK', 'CORE'):
    kind = getattr(resource, 'RLIMIT_' + name); most = resource.getrlimit(kind)[1]
    if most in (resource.RLIM_INFINITY, 2**63): escaped(f'{name} has no limit')
    try: resource.setrlimit(kind, (most + 1, most + 1))
    except (OSError, ValueError): continue
    escaped(name)"""
    ),
    "have the machine's handler of crashes read it": Attempt(
        program="""
import resource
if resource.getrlimit(resource.RLIMIT_CORE) != (CORE, CORE): escaped(resource.getrlimit(resource.RLIMIT_CORE))
for do in (lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 1)), lambda: resource.prlimit(os.getpid(), resource.RLIMIT_CORE, (0, 0))):
    try: do()
    except (OSError, ValueError): continue
    escaped('RLIMIT_CORE is 0, at which a handler is called')"""
    ),
    # The network.
    "connect to the machine": Attempt(
        program="""
for place in ('127.0.0.1', 'localhost', '0.0.0.0', '::1'):
    try: socket.create_connection((place, PORT), timeout=5); escaped(place)
    except OSError: pass"""
    ),
    "connect to the world": Attempt(
        program="""
for family, place in ((socket.AF_INET, '192.0.2.1'), (socket.AF_INET, '8.8.8.8'), (socket.AF_INET, '169.254.169.254'), (socket.AF_INET, '224.0.0.1'), (socket.AF_INET6, '2001:db8::1'), (socket.AF_INET6, 'fe80::1')):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as one:
            one.settimeout(5)
            try: one.connect((place, 53)); one.send(b'x'); escaped(place)
            except OSError: pass
if len(open('/proc/net/dev').readlines()) != 3: escaped('an interface beside lo')"""
    ),
    "find out an address by name": Attempt(
        program="""
try: escaped(socket.getaddrinfo('example.com', 80))
except OSError: pass"""
    ),
    "use every family of sockets": Attempt(
        program="""
for family in range(64):
    for kind in (1, 2, 3, 5):
        try: socket.socket(family, kind).close()
        except OSError: continue
        if family not in (1, 2, 10) or kind == 3 and family != 1: escaped(f'family {family} kind {kind}')
for protocol in (0, 1, 6, 255):
    try: socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol); escaped('raw')
    except OSError: pass"""
    ),
    "talk to the machine over local sockets": Attempt(
        program="""
for place in ('\\0' + ABSTRACT, SOCKET_FILE, '/run/dbus/system_bus_socket', '/run/docker.sock', '/var/run/docker.sock', '/run/systemd/private'):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as one:
            try: one.connect(place); escaped(place)
            except OSError: pass"""
    ),
    # Processes.
    "kill the machine's processes": Attempt(
        program="""
for pid in (PID, PARENT):
    for number in (0, signal.SIGTERM, signal.SIGKILL):
        try: os.kill(pid, number)
        except OSError: continue
        escaped(f'signal {number} to {pid}')
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for do in (lambda: os.kill(1, signal.SIGKILL), lambda: os.kill(1, signal.SIGSEGV), lambda: os.kill(-1, signal.SIGTERM), lambda: os.killpg(0, signal.SIGTERM)):
    try: do()
    except OSError: pass
time.sleep(0.05)""",
        ends=("exited", "signalled"),
    ),
    "stop or kill what looks after it": Attempt(
        program="""
for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGSEGV): os.kill(1, number)
try:
    with open('/proc/1/mem', 'r+b', buffering=0) as file:
        for line in open('/proc/1/maps'):
            begin, _, rest = line.partition('-')
            if 'w' in rest.split()[1]:
                file.seek(int(begin, 16)); file.write(bytes(64))
except OSError: pass
os.kill(os.getpid(), signal.SIGKILL)""",
        ends=("signalled", "exited", "wall"),
        limits=tight(wall_s=2.0),
    ),
    "start processes without end": Attempt(
        program="""
made = 1
try:
    while True:
        if os.fork() == 0: time.sleep(1000)
        made += 1
except BlockingIOError: pass
if made > 16: escaped(f'{made} processes')
try:
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start(); escaped('a thread more')
except RuntimeError: pass
os._exit(0)"""
    ),
    "fork for ever": Attempt(
        program="""
while True:
    try: os.fork()
    except OSError: pass""",
        ends=("cpu", "wall"),
        limits=tight(wall_s=1.0),
    ),
    "outlive the run as a daemon": Attempt(
        program="""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        for number in (0, 1, 2): os.close(number)
        while True: time.sleep(1000)
    os._exit(0)
os.wait()"""
    ),
    "hold the outputs open behind its back": Attempt(
        program="""
for _ in range(3):
    if os.fork() == 0: os.setsid(); time.sleep(100000)
print('gone')"""
    ),
    "ignore that its time is over": Attempt(
        program="""
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: time.sleep(1000)""",
        ends=("wall",),
        limits=tight(wall_s=0.5),
    ),
    "stop itself": Attempt(
        program="os.kill(os.getpid(), signal.SIGSTOP)", ends=("wall",), limits=tight(wall_s=0.5)
    ),
    "leave zombies": Attempt(
        program="""
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for _ in range(10):
    if os.fork() == 0: os._exit(0)"""
    ),
    # What it takes.
    "use the processor in many children": Attempt(
        program="""
for _ in range(6):
    if os.fork() == 0: break
while True: pass""",
        ends=("cpu",),
        limits=tight(cpu_s=0.5),
    ),
    "use the processor in children that nobody waits for": Attempt(
        program="""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        until = time.monotonic() + 0.2
        while time.monotonic() < until: pass
        os._exit(0)
    time.sleep(0.2)""",
        ends=("cpu",),
        limits=tight(cpu_s=0.5),
    ),
    "take memory in one process": Attempt(
        program="""
held = []
try:
    while True: held.append(bytearray(8 * 2**20))
except MemoryError: pass
if len(held) * 8 > 256: escaped(f'{len(held) * 8} MiB')""",
        ends=("exited", "memory"),
    ),
    "take memory in many processes": Attempt(
        program="""
for _ in range(4):
    if os.fork() == 0: break
held = bytearray(os.urandom(2**20)) * 150
time.sleep(1000)""",
        ends=("memory",),
    ),
    "hide memory that is shared": Attempt(
        program="""
import mmap
try:
    held = mmap.mmap(-1, 64 * 2**20); escaped('a shared mapping')
except OSError: pass
try:
    held = mmap.mmap(os.open('/dev/zero', os.O_RDWR), 64 * 2**20); escaped('/dev/zero is mapped')
except OSError: pass
refused('huge pages', 9, 222, 0, 2**21, 3, 0x40022, -1, 0)"""
    ),
    "hide memory in the kernel": Attempt(
        program="""
refused('memfd_create', 319, 279, b'x', 0); refused('memfd_secret', 447, 447, 0); refused('shmget', 29, 194, 0, 2**26, 0o1600)
refused('msgget', 68, 186, 0, 0o1600); refused('semget', 64, 190, 0, 1, 0o1600); refused('mq_open', 240, 180, b'x', 0o102, 0o600, None)
refused('vmsplice', 278, 75, 1, None, 0, 0); refused('io_uring', 427, 427, 0, 0, None, 0)"""
    ),
    "hide memory behind open files": Attempt(
        program="""
held = []
try:
    while True: held += os.pipe()
except OSError: pass
if len(held) > 256: escaped(f'{len(held)} descriptors')"""
    ),
    "fill the disk": Attempt(
        program="""
written = 0
try:
    for number in range(100):
        with open(f'file-{number}', 'wb', buffering=0) as file:
            for _ in range(7): written += file.write(bytes(2**20))
except OSError: pass
if written > 16 * 2**20: escaped(written)""",
        ends=("folder",),
    ),
    "fill the disk elsewhere": Attempt(
        program="""
written = 0
for at, folder in enumerate(('/tmp', '/dev/shm', '/var/tmp', '/run', '/dev', '/box', '/box/tmp', '/', '/proc', '/dev/mqueue')):
    try:
        for number in range(4):
            with open(f'{folder}/file-{at}-{number}', 'wb', buffering=0) as file:
                for _ in range(7): written += file.write(bytes(2**20))
    except OSError: pass
if written > 16 * 2**20: escaped(written)""",
        ends=("folder",),
    ),
    "write one huge file": Attempt(
        program="""
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for do in (lambda file: file.write(bytes(9 * 2**20)), lambda file: file.truncate(2**40), lambda file: (file.seek(2**40), file.write(b'x')), lambda file: os.posix_fallocate(file.fileno(), 0, 2**30)):
    with open('huge', 'wb', buffering=0) as file:
        try: do(file)
        except OSError: pass
    if os.stat('huge').st_size > 8 * 2**20: escaped(os.stat('huge').st_size)"""
    ),
    "make files without end": Attempt(
        program="""
number = 0
while True:
    os.close(os.open(f'{number}', os.O_CREAT)); number += 1""",
        ends=("folder",),
    ),
    "flood the output": Attempt(
        program="while True: os.write(1, b'x' * 65536)", ends=("output",), limits=tight(output_bytes=2**20)
    ),
    "flood the other output": Attempt(
        program="""
if os.fork() == 0: os.setsid()
while True: os.write(2, b'x' * 65536)""",
        ends=("output",),
        limits=tight(output_bytes=2**20),
    ),
    # What is read afterwards.
    "have a link read": Attempt(
        program="os.symlink(SECRET_FILE, 'kept'); os.symlink('/etc', 'folder'); os.symlink('../../../../../..' + SECRET_FILE, 'other')",
        keep=("kept", "folder/passwd", "other"),
    ),
    "have /proc read": Attempt(
        program="os.symlink('/proc/self/environ', 'kept'); os.symlink('/proc/self/root', 'folder'); os.symlink('/proc/self/cwd', 'other')",
        keep=("kept", "folder/etc/passwd", "other/setup.py"),
    ),
    "have a pipe or a device read": Attempt(
        program="os.mkfifo('kept'); os.symlink('/dev/urandom', 'folder'); socket.socket(socket.AF_UNIX).bind('other'); os.mkdir('deep')",
        keep=("kept", "folder", "other", "deep"),
    ),
    "have a huge file of holes read": Attempt(
        program="""
import resource
for name in ('kept', 'folder', 'other'):
    with open(name, 'wb') as file: file.truncate(8 * 2**20)
for number in range(20): os.link('kept', f'link-{number}')""",
        keep=tuple(f"link-{number}" for number in range(20)),
        most_kept=16 * MIB,
    ),
    "have the machine's file read by a hard link": Attempt(
        program="""
for path in ('/etc/passwd', '/usr/bin/env', SECRET_FILE):
    try: os.link(path, 'kept')
    except OSError: continue
    escaped(path)""",
        keep=("kept",),
    ),
    # What comes in.
    "put a library before the first program": Attempt(
        program="""
if os.environ.get('LD_PRELOAD') != '/box/folder/evil.so': escaped(os.environ)
import resource
if resource.getrlimit(resource.RLIMIT_NPROC)[1] > 17: escaped('before the limits')""",
        environment={
            "LD_PRELOAD": "/box/folder/evil.so",
            "LD_LIBRARY_PATH": "/box/folder",
            "ENV": "/box/folder/start.sh",
            "BASH_ENV": "/box/folder/start.sh",
            "PS4": "$(touch /box/folder/done)",
        },
        files={"evil.so": b"\x7fELF", "start.sh": b"echo ESCAPED"},
    ),
}


class Machine:
    """What must not be reached, and whether it was."""

    def __init__(self, folder: Path) -> None:
        self._secret = f"secret-{secrets.token_hex(16)}"
        os.environ["SANDBOX_TEST_SECRET"] = self._secret
        self._file = folder / "secret.txt"
        self._file.write_text(self._secret)
        self._opened = os.open(folder / "opened.txt", os.O_CREAT | os.O_RDWR, 0o666)
        os.set_inheritable(self._opened, True)
        self._process = subprocess.Popen(["sleep", "100000"])
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind("\0" + self._secret[:40])
        self._local = socket.socket(socket.AF_UNIX)
        self._local.bind(str(folder / "socket"))
        for one in (self._tcp, self._abstract, self._local):
            one.listen()
            one.setblocking(False)
        self._constants = {
            "SECRET": self._secret,
            "SECRET_FILE": str(self._file),
            "PORT": self._tcp.getsockname()[1],
            "ABSTRACT": self._secret[:40],
            "SOCKET_FILE": str(folder / "socket"),
            "PID": self._process.pid,
            "PARENT": os.getpid(),
            "CORE": 1
            if resource.getrlimit(resource.RLIMIT_CORE)[1]
            else 0,  # of no use where the machine's is 0
            "OOM_SCORE": int(Path("/proc/self/oom_score_adj").read_text()),
        }

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for one in (self._tcp, self._abstract, self._local):
            one.close()
        os.close(self._opened)
        del os.environ["SANDBOX_TEST_SECRET"]

    def run(self, attempt: Attempt, mark: str) -> Run:
        """The attempt with what it should reach; `mark` is in the command line of all its processes."""
        constants = "".join(f"{name} = {value!r}\n" for name, value in self._constants.items())
        return Run(
            argv=("python3", "-c", PRELUDE + constants + attempt.program, mark),
            keep=attempt.keep,
            limits=attempt.limits,
            environment=attempt.environment,
            files=attempt.files,
        )

    def touched(self) -> Iterator[str]:
        """What was reached."""
        if self._process.poll() is not None:
            yield "a process of the machine was ended"
        if self._file.read_text() != self._secret:
            yield "a file of the machine was changed"
        if os.fstat(self._opened).st_size:
            yield "an open file of the machine was written to"
        for one in (self._tcp, self._abstract, self._local):
            try:
                one.accept()
            except BlockingIOError:
                continue
            yield "a socket of the machine was connected to"


def processes(mark: str) -> list[int]:
    """Those of this machine that have these words in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in line and int(name) != os.getpid():
            found.append(int(name))
    return found


async def made(sandbox: Sandbox, machine: Machine, attempt: Attempt) -> str:
    """Make one attempt; what it reached or left, or nothing."""
    mark = f"attempt-{secrets.token_hex(8)}"
    ran = await sandbox.run(machine.run(attempt, mark))
    problems = [line.decode() for line in ran.stdout.splitlines() if line.startswith(b"ESCAPED")]
    if ran.ended not in attempt.ends or (ran.ended == "exited" and ran.status != 0):
        problems.append(f"ended {ran.ended} {ran.status} {ran.problem} {ran.stderr[-600:].decode()}")
    if (kept := sum(map(len, ran.files.values()))) > attempt.most_kept:
        problems.append(f"{kept} bytes came out: {dict(ran.files)!r:.200}")
    if left := processes(mark):
        problems.append(f"processes are left: {left}")
    return "; ".join([*problems, *machine.touched()])


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A machine with secrets, until the end of the block."""
    one = Machine(folder)
    try:
        yield one
    finally:
        one.close()


async def all_made(folder: Path, at_once: int = 4) -> dict[str, str]:
    """What each attempt reached, by its name; nothing where it was held."""
    sandbox = Sandbox(SandboxSettings(concurrent=at_once))
    with machine(folder) as one:
        problems = await asyncio.gather(*(made(sandbox, one, attempt) for attempt in ATTEMPTS.values()))
    return dict(zip(ATTEMPTS, problems, strict=True))


def made_bare(folder: Path, *names: str) -> dict[str, str]:
    """What those reach that nothing holds."""
    with machine(folder) as one:
        return {
            name: subprocess.run(
                one.run(ATTEMPTS[name], "bare").argv, capture_output=True, text=True, check=False
            ).stdout
            for name in names
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(all_made(Path(sys.argv[1])))))
