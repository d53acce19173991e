"""The tables of what is kept of prompts and answers, and their deletion.

What it is not: what is kept (`content`), or who may read or delete it (`admin`, `gateway`).
"""

from trimtab.store.content.covering import Deletion
from trimtab.store.content.deletion import Deleted, Selection, delete
from trimtab.store.content.tables import AnswerKind, Content, ContentStore, Summary, pack

__all__ = [
    "AnswerKind",
    "Content",
    "ContentStore",
    "Deleted",
    "Deletion",
    "Selection",
    "Summary",
    "delete",
    "pack",
]
