"""Pages for people: what was asked, what it cost, how long it took, what platforms did, and the story of one request.

What it is not: a way into the engine, or a place where anything is changed without `admin`.
Invariants: every page needs a visitor that the doorkeeper knows; nothing recorded is ever written into a page
unescaped; what is shown as a page is also there as JSON; no page asks the store on the event loop.
"""

from trimtab.console.application import Console
from trimtab.console.asking import Asking
from trimtab.console.budgets import BudgetsPage
from trimtab.console.configuration import ConfigPage
from trimtab.console.figures import Figures
from trimtab.console.files import Files
from trimtab.console.listing import ListPage
from trimtab.console.meaning import Meaning
from trimtab.console.overview import OverviewPage
from trimtab.console.platforms import Entries, PlatformsAsked, PlatformsPage
from trimtab.console.programs import ForPrograms
from trimtab.console.rendering import Templates
from trimtab.console.situation import ContentPolicy, InForce, PlatformShown, Situation
from trimtab.console.story import StoryPage
from trimtab.console.visitors import Doorkeeper, Role, Visitor

__all__ = [
    "Asking",
    "BudgetsPage",
    "ConfigPage",
    "Console",
    "ContentPolicy",
    "Doorkeeper",
    "Entries",
    "Figures",
    "Files",
    "ForPrograms",
    "InForce",
    "ListPage",
    "Meaning",
    "OverviewPage",
    "PlatformShown",
    "PlatformsAsked",
    "PlatformsPage",
    "Role",
    "Situation",
    "StoryPage",
    "Templates",
    "Visitor",
]
