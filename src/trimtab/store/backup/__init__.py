"""The whole store as one checked file, and back into either engine; both together move a store between engines.

What it is not: a merge, or the upgrade of a store that is served (`schema`, `engines`).
Invariants: making a backup only reads its source; a restore replaces everything or nothing; every row is held against
the sums in the file's manifest.
"""

from trimtab.store.backup.file import Manifest, Progress
from trimtab.store.backup.making import make_backup
from trimtab.store.backup.restore import Restored, restore_backup

__all__ = ["Manifest", "Progress", "Restored", "make_backup", "restore_backup"]
