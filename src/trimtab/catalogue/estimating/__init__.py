"""About how many tokens a whole request has on a model: its texts by content class, images, tools, frames.

What it is not: a bound for money (`tokens.upper_bound_tokens`), or a call to anybody. Invariants: any body that
`MessagesBody` takes has an estimate, at a bounded cost; an estimate says where it comes from.
"""

from trimtab.catalogue.estimating.estimate import Corrections, Estimate, estimate
from trimtab.catalogue.estimating.learning import Learnt, Used, learn
from trimtab.catalogue.estimating.measuring import Measured, measure
from trimtab.catalogue.estimating.tokenizers import NO_TOKENIZERS, Tokenizer, Tokenizers

__all__ = [
    "NO_TOKENIZERS",
    "Corrections",
    "Estimate",
    "Learnt",
    "Measured",
    "Tokenizer",
    "Tokenizers",
    "Used",
    "estimate",
    "learn",
    "measure",
]
