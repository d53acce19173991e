"""Who runs a command, for the audit trail."""

import os
import pwd

from trimtab.admin import Actor


def account() -> str:
    """The account that runs this, by the system's word, not by a variable that anybody may set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def actor(organisation: str | None = None) -> Actor:
    """It as whoever asks `admin`: of one organisation where that is named, else of all."""
    return Actor(f"cli:{account()}", organisation)
