"""The one pipeline: everything that calls a model goes through here.

`Metered` is the lower floor (reserve, call, settle, record); `Pipeline` is built on it (admit, plan, call).
Only the engine calls models, spends and records. Policy comes in as pure decisions.
"""

from trimtab.engine.answering import Answering
from trimtab.engine.conversations import Conversations
from trimtab.engine.inbound import Inbound
from trimtab.engine.job import Job
from trimtab.engine.means import Runtime
from trimtab.engine.metered import Metered
from trimtab.engine.observing import Observer
from trimtab.engine.pipeline import Pipeline
from trimtab.engine.recording import Recorder
from trimtab.engine.reply import MeteredReply
from trimtab.engine.surviving import RetrySettings, Surviving, check_retries

__all__ = [
    "Answering",
    "Conversations",
    "Inbound",
    "Job",
    "Metered",
    "MeteredReply",
    "Observer",
    "Pipeline",
    "Recorder",
    "RetrySettings",
    "Runtime",
    "Surviving",
    "check_retries",
]
