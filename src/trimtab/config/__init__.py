"""Reading `trimtab.toml`: decoding into frozen structs, secret references, errors that name the place.

What it is not: the settings themselves. Each package owns its settings type; `app` assembles them.
Invariant: everything in the file is read by somebody, or the file is refused.
"""

from trimtab.config.document import Document, decoded, fail, load_document
from trimtab.config.files import read_file
from trimtab.config.secrets import Secret, secrets_in

__all__ = ["Document", "Secret", "decoded", "fail", "load_document", "read_file", "secrets_in"]
