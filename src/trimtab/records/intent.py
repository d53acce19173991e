"""What is written down before a call goes out: enough to account for it should the process die before it ends."""

import msgspec

from trimtab.catalogue import Arm, NanoUSD
from trimtab.records.ids import RequestId
from trimtab.records.outcome import Attempt, Draw, Endpoint, Outcome, Plan, Purpose

DIED = "the process ended before the call did; what came of it is unknown, so its worst case stands"


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A call that is about to be made. Fields mean what they mean in `Outcome` and `Attempt`."""

    id: RequestId
    at_ms: int
    purpose: Purpose
    endpoint: Endpoint
    requested_model: str
    session: str
    plan: Plan
    model: str
    """The model id as the platform is sent it."""
    reserved_nanousd: NanoUSD
    """The most that the call can cost, unbounded server tools aside."""
    stream: bool = False
    simulated: bool = False
    leased: bool = False
    request_bytes: int = 0
    tags: tuple[str, ...] = ()
    parent: RequestId | None = None
    key: str = ""
    organisation: str = ""
    team: str = ""
    user: str = ""
    config_version: str = ""
    catalogue_version: str = ""
    platform: str = ""
    """The entry that is called, where it may differ from the plan's; empty from a program that only knew that one."""
    account: str = ""
    before: tuple[Attempt, ...] = ()
    """Attempts of the same request that were made already, or are under way beside this one: their cost as it was
    settled, or their worst case. This intent takes the place of theirs."""
    task: str = ""
    phase: str = ""
    task_class: str = ""
    draws: tuple[Draw, ...] = ()
    """What is held for all attempts so far, this one included."""
    arm: Arm | None = None
    """As of an attempt: that is called on a step of a cascade; else it is the plan's."""
    step: int = 0
    """The steps before it are among `before`, with their verdicts."""

    def outcome(self) -> Outcome:
        """The record of a call whose process died: estimated at its worst case."""
        attempt = Attempt(
            platform=self.platform or self.plan.platform,
            model=self.model,
            result="unknown",
            error=DIED,
            reserved_nanousd=self.reserved_nanousd,
            cost_nanousd=self.reserved_nanousd,
            cost_source="estimated",
            account=self.account,
            arm=self.arm,
            step=self.step,
        )
        return Outcome(
            id=self.id,
            at_ms=self.at_ms,
            purpose=self.purpose,
            surface="chat" if self.endpoint == "chat" else "messages",
            endpoint=self.endpoint,
            requested_model=self.requested_model,
            session=self.session,
            result="unknown",
            status=500,
            stream=self.stream,
            plan=self.plan,
            attempts=(*self.before, attempt),
            error=DIED,
            cost_nanousd=self.reserved_nanousd + sum(made.cost_nanousd for made in self.before),
            tags=self.tags,
            parent=self.parent,
            key=self.key,
            organisation=self.organisation,
            team=self.team,
            user=self.user,
            simulated=self.simulated,
            leased=self.leased,
            request_bytes=self.request_bytes,
            config_version=self.config_version,
            catalogue_version=self.catalogue_version,
            task=self.task,
            phase=self.phase,
            task_class=self.task_class,
            draws=self.draws,
            checks_nanousd=sum(said.cost_nanousd for made in self.before for said in made.verdicts),
        )
