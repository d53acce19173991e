"""Who runs a command, for the audit trail."""

import os
import pwd


def account() -> str:
    """The account that runs this, by the system's word, not by a variable that anybody may set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"
