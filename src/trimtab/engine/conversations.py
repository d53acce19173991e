"""Which model answered a conversation last, so that thinking of another one is known as such.

Only the gateway's own changes count: what a caller pins is the caller's to judge. Kept in memory, for so many
conversations, by each process for itself: a conversation that is not known here is left as it is.
"""

from collections import OrderedDict

import msgspec

from trimtab.messages import MessagesBody

MAX_CONVERSATIONS = 20_000
"""About 4 MB."""


class _Last(msgspec.Struct):
    model: str
    foreign: int
    """How many messages, from the first on, stem from a time when other models answered."""


class Conversations:
    """One for each process; it outlives a change of configuration, which may bind a tier to another model."""

    def __init__(self, limit: int = MAX_CONVERSATIONS) -> None:
        self._limit = limit
        self._last: OrderedDict[str, _Last] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def goes_to(self, conversation: str, body: MessagesBody, model: str) -> int:
        """Take note of the model, and say how many of the messages stem from a time when others answered.

        Never waits. Cost: under a microsecond; once the model has changed, a scan of the messages.
        """
        last = self._last.get(conversation)
        if last is None:
            last = self._last[conversation] = _Last(model, 0)
            if len(self._last) > self._limit:
                self._last.popitem(last=False)
        else:
            self._last.move_to_end(conversation)
            if last.model != model:
                last.model, last.foreign = model, body.count_messages()
            elif last.foreign and body.count_messages() < last.foreign:
                last.foreign = 0  # the caller rewrote the conversation: nothing is known of what is left
        return last.foreign

    def would_go_to(self, conversation: str, body: MessagesBody, model: str) -> int:
        """The same, without taking note: for a call beside the conversation. Its model has said nothing in it, unless
        it is the one that answered last."""
        last = self._last.get(conversation)
        if last is None:
            return 0
        return last.foreign if last.model == model else body.count_messages()
