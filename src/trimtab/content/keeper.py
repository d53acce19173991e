"""The thread that redacts, packs and writes what calls left.

What it is not: the records' writer, which never waits for this one. Invariants: what is written is what the policy in
force at the call's beginning says; a copy that cannot be redacted is not written; what cannot be written within
`WAIT_S`, or finds no room, is dropped and counted.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from trimtab.content.capture import Capture, Copied, Room
from trimtab.content.redaction import redacted_answer, redacted_request
from trimtab.content.settings import ContentSettings
from trimtab.errors import StoreError
from trimtab.store.content import Content, ContentStore, pack
from trimtab.store.content.tables import AnswerKind, Packed

LINGER_S = 0.2
"""How long content waits for others before they are committed together."""

BATCH_BYTES = 512 * 1024
BATCH_ROWS = 32
"""What one transaction writes at most, before it is packed, so that it takes milliseconds; others write in between."""

WAIT_S = 600.0
"""How long content waits for a store that is away. Deletions are remembered for far longer."""

BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 5.0

_log = logging.getLogger("trimtab.content")


class Keeper:
    """One for each serving process, whatever the policy; its thread begins with the first copy."""

    def __init__(
        self,
        store: ContentStore,
        *,
        on_problem: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._on_problem = on_problem
        self._monotonic = monotonic
        self._room = Room()
        self._waiting: queue.SimpleQueue[Copied | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._in_trouble = False
        self.settings = ContentSettings()
        """The policy in force."""
        self.kept = 0
        self._refused = 0
        self._lost = 0
        """Counted by the event loop, for want of room, and by the thread: each has its own figure."""

    @property
    def dropped(self) -> int:
        """Calls whose content should have been kept and was not."""
        return self._refused + self._lost

    @property
    def waiting_bytes(self) -> int:
        """What copies hold in memory now, those of calls in flight included."""
        return self._room.held

    def under(self, settings: ContentSettings) -> Capture | None:
        """What calls are given under this policy; `None` where nothing is kept."""
        return None if settings.keep == "off" else Capture(settings, self._room, self)

    def put(self, copied: Copied) -> None:
        """See `capture.Sink`."""
        if self._closing.is_set():
            self._refused += 1
            self._room.taken -= copied.room
            return
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="trimtab-content", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system gives us no thread now; perhaps the next time
                self._refused += 1
                self._room.taken -= copied.room
                return
            self._thread = thread
        self._waiting.put(copied)

    def drop(self) -> None:
        """See `capture.Sink`."""
        self._refused += 1

    def close(self, timeout_s: float = 5.0) -> int:
        """Write what waits, for so long; how many could not be written. Blocks. Idempotent."""
        self._closing.set()
        thread = self._thread
        if thread is None:
            return 0
        self._waiting.put(None)
        thread.join(timeout_s)
        return self._waiting.qsize() if thread.is_alive() else 0

    def _run(self) -> None:
        while True:
            batch, last = self._gathered()
            if batch:
                try:
                    self._keep(batch)
                except Exception:  # the thread must outlive every surprise
                    _log.exception("content of %d requests could not be kept", len(batch))
                    self._lost += len(batch)
                finally:
                    self._room.given_back += sum(copied.room for copied in batch)
            if last:
                return

    def _gathered(self) -> tuple[list[Copied], bool]:
        """Some copies, and whether there will be no more."""
        first = self._waiting.get()
        if first is None:
            return [], True
        batch = [first]
        until = self._monotonic() + LINGER_S
        while len(batch) < BATCH_ROWS and sum(copied.room for copied in batch) < BATCH_BYTES:
            left_s = 0 if self._closing.is_set() else until - self._monotonic()
            try:
                copied = self._waiting.get(timeout=left_s) if left_s > 0 else self._waiting.get_nowait()
            except queue.Empty:
                break
            if copied is None:
                return batch, True
            batch.append(copied)
        return batch, False

    def _keep(self, batch: Sequence[Copied]) -> None:
        rows = [row for copied in batch if (row := self._row(copied)) is not None]
        if not rows:
            return
        until = self._monotonic() + WAIT_S
        pause_s = BACKOFF_FIRST_S
        while True:
            began = self._monotonic()
            try:
                self._store.add(rows)
            except StoreError as problem:
                if not self._in_trouble:
                    self._in_trouble = True
                    self._on_problem(f"content: {problem}; it waits in memory as long as there is room")
                if self._closing.is_set() or self._monotonic() > until:
                    self._lost += len(rows)
                    return
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, BACKOFF_MOST_S)
            else:
                self.kept += len(rows)
                self._closing.wait(self._monotonic() - began)  # as long as it took: others' turn
                if self._in_trouble:
                    self._in_trouble = False
                    self._on_problem(
                        f"content: is written again; {self.dropped} were dropped since the start"
                    )
                return

    def _row(self, copied: Copied) -> Packed | None:
        try:
            return pack(content_of(copied))
        except Exception:  # one that surprises us must not take the others along
            _log.exception("request %s: its content could not be read and is not kept", copied.outcome.id)
            self._lost += 1
            return None


def content_of(copied: Copied) -> Content:
    """What is kept of a call under its policy. In `redacted` this is where time goes; see docs/content.md."""
    outcome, settings = copied.outcome, copied.settings
    answer = b"".join(copied.answer)
    encoding = copied.encoding.decode("latin-1").strip().lower()
    kind: AnswerKind = ""
    if answer:
        kind = "sse" if copied.event_stream else "json" if answer[:1] in b"{[" or encoding else "other"
    content = Content(
        request_id=outcome.id,
        at_ms=outcome.at_ms,
        purpose=outcome.purpose,
        simulated=outcome.simulated,
        key=outcome.key,
        user=outcome.user,
        team=outcome.team,
        organisation=outcome.organisation,
        mode=settings.keep,
        request=copied.request[: settings.max_bytes],
        request_bytes=len(copied.request),
        request_cut=len(copied.request) > settings.max_bytes,
        answer=answer or None,
        answer_bytes=copied.answer_bytes,
        answer_cut=copied.answer_cut,
        answer_kind=kind,
        answer_encoding=encoding if answer else "",
    )
    if settings.keep == "full":
        return content
    request, request_cut = _cut(redacted_request(copied.request), settings.max_bytes)
    told, answer_cut = _cut(
        redacted_answer(answer, event_stream=copied.event_stream, encoding=copied.encoding),
        settings.max_bytes,
    )
    return msgspec.structs.replace(
        content,
        request=request,
        request_cut=request_cut,
        answer=told,
        answer_cut=(answer_cut or copied.answer_cut) if answer else False,
        answer_kind="json" if told is not None else "",
        answer_encoding="",
    )


def _cut(side: bytes | None, most: int) -> tuple[bytes | None, bool]:
    """A side that was redacted, at most so long, and whether something is missing. Never ends inside a character."""
    if side is None or len(side) <= most:
        return side, side is None
    end = most
    while end and side[end] & 0xC0 == 0x80:
        end -= 1
    return side[:end], True
