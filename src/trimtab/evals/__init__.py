"""Evaluations: the same cases put to whatever answers, and what came of it, with statistics.

What it is not: a second way to models. Cases go to a `Subject`, such as a running gateway over HTTP, as any client's
requests do. Invariant: three outcomes for every judgement; what could not be judged is never a success.
"""

from trimtab.evals.subject import Answer, Gateway, Question, Subject

__all__ = ["Answer", "Gateway", "Question", "Subject"]
