"""What text looks like, for whoever judges it: folding, patterns that are searched for, and figures.

What it is not: a language model, or what follows from what is found. Invariants: all of it takes time linear in the
text and memory that is bounded by it, whatever the text is; nothing raises for any text. `textmodel.patterns` loads RE2
(2 to 14 ms), so it is imported by its own name by who needs it.
"""

from trimtab.textmodel.figures import Fence, Heading, TextFigures, figures_of
from trimtab.textmodel.folding import cased_fold, fold

__all__ = ["Fence", "Heading", "TextFigures", "cased_fold", "figures_of", "fold"]
