"""What can be ordered of the simulated sources over HTTP, and how they misbehave."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator


class Outage(StrEnum):
    """How a source misbehaves: 503, HTML with 200, a body cut in the middle, a stall, or not at all."""

    NONE = "none"
    DOWN = "down"
    HTML = "html"
    HALF_PAGE = "half_page"
    SLOW = "slow"


class FaultRequest(BaseModel):
    """A fault for the next tick of a dataset."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    kind: str


class Control(BaseModel):
    """What `POST /control` takes: one thing; `dataset` says whose outage it is, without one it is everybody's.

    `clock_skew` is by how many seconds the sources' clocks are ahead of their records, `token_calls` after how many
    calls a token of Salesforce expires, 0 for never.
    """

    model_config = ConfigDict(extra="forbid")

    advance_ticks: StrictInt | None = Field(default=None, ge=1, le=100_000)
    fault: FaultRequest | None = None
    outage: str | None = None
    dataset: str | None = None
    clock_skew: float | None = Field(default=None, ge=-86_400, le=86_400)
    token_calls: StrictInt | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Control:
        asked = (self.advance_ticks, self.fault, self.outage, self.clock_skew, self.token_calls)
        if sum(each is not None for each in asked) != 1:
            raise ValueError("exactly one of advance_ticks, fault, outage, clock_skew, token_calls is needed")
        if self.dataset is not None and self.outage is None:
            raise ValueError("dataset goes with outage")
        return self
