"""The live pointer, its moves, and the plans of promotions and rollbacks. A plan is data; someone else executes it.

Every move returns a new pointer with the next generation; the ledger swaps it in only if the old generation still
stands, so two movers can never both win.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from dartifact.domain.errors import PolicyRefused, StalePointer
from dartifact.domain.hints import Command
from dartifact.domain.plan_documents import PlanDocument

SLOTS = ("blue", "green")


@dataclass(frozen=True, slots=True)
class Slot:
    """What one production slot holds: the dartifact, and the commit of the slot's branch that shows it."""

    dartifact: str | None = None
    commit: str | None = None


EMPTY = Slot()


@dataclass(frozen=True, slots=True)
class LivePointer:
    """The one truth about production. Branches are projections of it.

    `weights` are shares 0–100 of named consumers per slot, adding up to 100 once anything is live. `settled` is the
    commit that `production` should show. `plan` is the promotion under way; `frozen` the reason promotions are stopped.
    """

    generation: int = 0
    slots: Mapping[str, Slot] = field(default_factory=lambda: {name: Slot() for name in SLOTS})
    weights: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(SLOTS, 0))
    settled: str | None = None
    plan: str | None = None
    frozen: str | None = None

    @property
    def active(self) -> str | None:
        """Name the slot whose commit is settled, None before the first promotion."""
        return next((name for name in SLOTS if self.settled and self.slots[name].commit == self.settled), None)

    @property
    def idle(self) -> str:
        """Name the slot that a promotion may claim."""
        return "green" if self.active == "blue" else "blue"

    @property
    def live(self) -> str | None:
        """Name the dartifact that plain readers of `production` get."""
        return self.slots[self.active].dartifact if self.active else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` reads them back."""
        return {
            "generation": self.generation,
            "slots": {name: {"dartifact": s.dartifact, "commit": s.commit} for name, s in self.slots.items()},
            "weights": dict(self.weights),
            "settled": self.settled,
            "plan": self.plan,
            "frozen": self.frozen,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LivePointer:
        """Read what `to_json` wrote."""
        return cls(**{**value, "slots": {name: Slot(**slot) for name, slot in value["slots"].items()}})


class StepKind(StrEnum):
    """The steps plans are made of."""

    CLAIM = "claim"
    PUBLISH = "publish"
    SMOKE = "smoke"
    SHIFT = "shift"
    SOAK = "soak"
    SETTLE = "settle"
    PUBLISH_PRODUCTION = "publish production"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan; `weight` is the share the slot gets at a shift, `seconds` is how long a soak watches it."""

    kind: StepKind
    slot: str
    weight: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        words = {
            StepKind.CLAIM: f"claim the idle slot {self.slot}",
            StepKind.PUBLISH: f"publish to {self.slot} and record its commit",
            StepKind.SMOKE: f"smoke-test the commit on {self.slot}",
            StepKind.SHIFT: f"shift {self.weight} % of the named consumers to {self.slot}",
            StepKind.SOAK: f"soak {self.slot} at {self.weight} % for {self.seconds:g} s, then ask the traffic gate",
            StepKind.SETTLE: f"settle {self.slot}",
            StepKind.PUBLISH_PRODUCTION: "publish production",
        }
        return words[self.kind]


class PlanKind(StrEnum):
    """What a plan does to production."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"


class PromotionState(StrEnum):
    """Where the execution of a plan is: under way, or how it ended."""

    RUNNING = "running"
    DONE = "done"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one promotion or rollback of one dartifact into one slot."""

    plan_id: str
    kind: PlanKind
    dartifact: str
    slot: str
    steps: tuple[Step, ...]

    def to_json(self) -> PlanDocument:
        """Return plain JSON values; `from_json` reads them back."""
        return {
            "plan_id": self.plan_id,
            "kind": self.kind.value,
            "dartifact": self.dartifact,
            "slot": self.slot,
            "steps": [
                {"kind": step.kind.value, "slot": step.slot, "weight": step.weight, "seconds": step.seconds}
                for step in self.steps
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Read what `to_json` wrote."""
        # Plans that were written before there were soaks have no seconds.
        steps = tuple(Step(StepKind(s["kind"]), s["slot"], s["weight"], s.get("seconds", 0)) for s in value["steps"])
        return cls(value["plan_id"], PlanKind(value["kind"]), value["dartifact"], value["slot"], steps)


def plan_promotion(
    pointer: LivePointer, dartifact: str, *, plan_id: str, weights: tuple[int, ...] = (100,), soak: float = 0
) -> Plan:
    """Plan to bring a dartifact live in the idle slot, shifting through `weights` with `soak` seconds after each.

    Without seconds, and while nothing is live (so nobody could be sent anywhere), there are no soaks.
    """
    slot = pointer.idle
    shifts: list[Step] = []
    for weight in weights:
        shifts.append(Step(StepKind.SHIFT, slot, weight))
        if soak > 0 and pointer.active is not None:
            shifts.append(Step(StepKind.SOAK, slot, weight, soak))
    return Plan(
        plan_id,
        PlanKind.PROMOTION,
        dartifact,
        slot,
        (
            Step(StepKind.CLAIM, slot),
            Step(StepKind.PUBLISH, slot),
            Step(StepKind.SMOKE, slot),
            *shifts,
            Step(StepKind.SETTLE, slot),
            Step(StepKind.PUBLISH_PRODUCTION, slot),
        ),
    )


def plan_rollback(pointer: LivePointer, dartifact: str, *, plan_id: str) -> Plan:
    """Plan to bring back a dartifact that served before: one swap if a slot still holds it, else publish it first."""
    warm = next(
        (name for name in SLOTS if pointer.slots[name].dartifact == dartifact and pointer.slots[name].commit), None
    )
    slot = warm or pointer.idle
    cold = (Step(StepKind.CLAIM, slot), Step(StepKind.PUBLISH, slot), Step(StepKind.SMOKE, slot))
    final = (Step(StepKind.SETTLE, slot), Step(StepKind.PUBLISH_PRODUCTION, slot))
    return Plan(plan_id, PlanKind.ROLLBACK, dartifact, slot, final if warm else (*cold, *final))


def claim(pointer: LivePointer, slot: str, dartifact: str, plan: str) -> LivePointer:
    """Take the idle slot for a plan; refused while another plan holds a slot or consumers read this one."""
    if pointer.plan is not None or pointer.weights[slot] or pointer.active == slot:
        raise StalePointer(f"slot {slot} cannot be claimed: plan {pointer.plan}, weight {pointer.weights[slot]}")
    return _next(pointer, slots={**pointer.slots, slot: Slot(dartifact)}, plan=plan)


def record(pointer: LivePointer, slot: str, commit: str, plan: str) -> LivePointer:
    """Write down which commit of the slot's branch shows the claimed dartifact."""
    _require_plan(pointer, plan)
    return _next(pointer, slots={**pointer.slots, slot: replace(pointer.slots[slot], commit=commit)})


def shift(pointer: LivePointer, slot: str, weight: int, plan: str) -> LivePointer:
    """Send `weight` percent of the named consumers to the slot, the rest to the other; PolicyRefused while frozen."""
    _require_plan(pointer, plan)
    _require_thawed(pointer)
    _require_commit(pointer, slot)
    return _next(pointer, weights=_weights(slot, weight))


def settle(pointer: LivePointer, slot: str, plan: str) -> LivePointer:
    """Make the slot's commit the one `production` should show, ending the plan's moves; PolicyRefused while frozen."""
    _require_plan(pointer, plan)
    _require_thawed(pointer)
    return _next(pointer, weights=_weights(slot, 100), settled=_require_commit(pointer, slot), plan=None)


def abandon(pointer: LivePointer, slot: str, plan: str, left: Slot = EMPTY) -> LivePointer:
    """Give up a plan: all consumers back to the active slot; the claimed slot holds what is `left` in it."""
    _require_plan(pointer, plan)
    weights = _weights(pointer.active, 100) if pointer.active else dict.fromkeys(SLOTS, 0)
    return _next(pointer, slots={**pointer.slots, slot: left}, weights=weights, plan=None)


def abort(pointer: LivePointer, slot: str, plan: str, *, reason: str) -> LivePointer:
    """Give up a promotion because a person says so: as `abandon`, and frozen, so that no schedule begins it again."""
    return replace(abandon(pointer, slot, plan), frozen=reason)


def roll_back(pointer: LivePointer, slot: str, *, frozen: str | None) -> LivePointer:
    """Serve the slot again in one move; whatever promotion was under way stops at its next step."""
    settled = _require_commit(pointer, slot)
    return _next(pointer, weights=_weights(slot, 100), settled=settled, plan=None, frozen=frozen)


def recover(pointer: LivePointer, slot: str, shown: Slot, *, frozen: str) -> LivePointer:
    """Serve what the lake still has from this slot; the other slot is empty, and a promotion under way is over."""
    slots = {name: shown if name == slot else Slot() for name in SLOTS}
    return _next(pointer, slots=slots, weights=_weights(slot, 100), settled=shown.commit, plan=None, frozen=frozen)


def freeze(pointer: LivePointer, reason: str | None) -> LivePointer:
    """Stop promotions with a reason, or allow them again with None."""
    return _next(pointer, frozen=reason)


def choose_slot(pointer: LivePointer, consumer: str) -> str | None:
    """Assign a named consumer to a slot by keyed hash: raising a weight never sends one back."""
    if pointer.active is None:
        return None
    share = int.from_bytes(hashlib.sha256(consumer.encode()).digest()[:8]) / 2**64 * 100
    other = pointer.idle
    return other if share < pointer.weights[other] else pointer.active


def _next(pointer: LivePointer, **changes: Any) -> LivePointer:
    return replace(pointer, generation=pointer.generation + 1, **changes)


def _weights(slot: str, weight: int) -> dict[str, int]:
    return {name: weight if name == slot else 100 - weight for name in SLOTS}


def _require_plan(pointer: LivePointer, plan: str) -> None:
    if pointer.plan != plan:
        raise StalePointer(f"plan {plan} no longer holds the live pointer (generation {pointer.generation})")


def _require_thawed(pointer: LivePointer) -> None:
    if pointer.frozen:
        raise PolicyRefused(f"promotions are frozen: {pointer.frozen}", hint=Command("unfreeze", "--reason WHY"))


def _require_commit(pointer: LivePointer, slot: str) -> str:
    commit = pointer.slots[slot].commit
    if commit is None:
        raise StalePointer(f"slot {slot} has nothing to serve")
    return commit
