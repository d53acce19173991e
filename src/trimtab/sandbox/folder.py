"""Files into the writable folder and out of it. Reads what a stranger left: no link is followed, no device opened.

What it is not: the folder itself (a tmpfs inside the sandbox, see `inside`). Invariant: `kept` runs when no process of
the run is left, so nothing changes under it.
"""

import os
import stat
from collections.abc import Mapping

from trimtab.errors import quoted
from trimtab.sandbox.run import Limits

MOST_FILES = 256
"""In one run, to begin with: each is a descriptor until it is there, of which most systems let a process hold 1,024."""

MOST_INODES = 20_000
"""Files, folders and links in the folder at once. Each takes about 1 KiB of the kernel's memory beside its content."""

_MOST_NAME_BYTES, _MOST_PATH_BYTES = 255, 2048


def unfit_path(path: str) -> str:
    """Why a relative path cannot be used, in a few words; empty when it can."""
    if not path:
        return "is empty"
    if "\0" in path:
        return "holds the character NUL"
    if path.startswith("/"):
        return "is absolute; name it from the folder"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty part, '.' or '..'; write it plainly"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "is not Unicode text"
    if max(sizes) > _MOST_NAME_BYTES or sum(sizes) + len(sizes) > _MOST_PATH_BYTES:
        return "is too long"
    return ""


def unfit_files(files: Mapping[str, bytes], limits: Limits) -> str:
    """Why these files cannot lie in the folder, in one line; empty when they can."""
    if len(files) > MOST_FILES:
        return f"{len(files):,} files are too many; a run begins with {MOST_FILES} at most"
    folders: set[str] = set()
    for path, content in files.items():
        if problem := unfit_path(path):
            return f"the path {quoted(path)} {problem}"
        if len(content) > limits.file_bytes:
            return (
                f"the file {quoted(path)} has {len(content):,} bytes; one file may have {limits.file_bytes:,}"
            )
        parts = path.split("/")
        folders.update("/".join(parts[:upto]) for upto in range(1, len(parts)))
    if both := sorted(folders & files.keys()):
        return f"{quoted(both[0])} is a file and a folder"
    if (size := sum(map(len, files.values()))) > limits.folder_bytes:
        return f"the files have {size:,} bytes; the folder takes {limits.folder_bytes:,}"
    return ""


def kept(folder: int, paths: Mapping[str, str], limits: Limits) -> dict[str, bytes]:
    """By name, the content of those paths below a folder (a descriptor) that are plain files, as long as they are
    together no larger than the folder may be: files that are all holes, or one file of many names, are not. Blocks."""
    found: dict[str, bytes] = {}
    left = limits.folder_bytes
    for name, path in paths.items():
        content = _plain_file(folder, path.split("/"), min(left, limits.file_bytes))
        if content is not None:
            found[name] = content
            left -= len(content)
    return found


def _plain_file(folder: int, parts: list[str], most: int) -> bytes | None:
    opened: list[int] = []
    try:
        at = folder
        for part in parts[:-1]:
            at = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
            opened.append(at)
        # Looked at before it is opened: opening is what a FIFO or a device acts on.
        at = os.open(parts[-1], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        opened.append(at)
        about = os.fstat(at)
        if not stat.S_ISREG(about.st_mode) or about.st_size > most:
            return None
        with open(f"/proc/self/fd/{at}", "rb", buffering=0) as file:
            return _read(file.fileno(), about.st_size)
    except OSError:  # not there, a link, or not readable
        return None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    content = bytearray()
    while len(content) < size and (part := os.read(descriptor, size - len(content))):
        content += part
    return bytes(content)
