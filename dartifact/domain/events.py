"""The events of the ledger: every name that is stored, what it means, and the details that it carries."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class EventType(StrEnum):
    """A fact of the past. Its value is what the ledger stores and never changes: ledgers of older versions hold it.

    `details` names what the payload may hold beside what all events of a kind carry: `from` where a run or dartifact
    moved, `gate` where one decided, `generation` and `pointer` where the live pointer moved.
    """

    meaning: str
    details: frozenset[str]

    def __new__(cls, name: str, meaning: str = "", details: str = "") -> Self:
        """Make a member of a name, its meaning, and the names of its details."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        member.details = frozenset(details.split())
        return member

    # A run on its own branch
    WINDOW_CLAIMED = "WindowClaimed", "A run claimed the next window of its ingestor.", "seq lo hi"
    BACKFILL_CLAIMED = "BackfillClaimed", "A run claimed an interval that was claimed before.", "seq lo hi"
    CHANGE_OPENED = "ChangeOpened", "A person opened a run for rows by hand.", "seq lo hi reason"
    WINDOW_SHORTENED = "WindowShortened", "A run ended its window earlier; the next run starts there.", "hi was"
    GAP_ACCEPTED = "GapAccepted", "A person accepted that the rows of a window stay missing.", "reason"
    SOURCE_CLOCK_AHEAD = "SourceClockAhead", "A source's clock runs ahead of ours.", "source seconds trusted"
    SOURCE_CLOCK_BEHIND = "SourceClockBehind", "A source's clock is behind the last claim.", "source seconds"
    FLOW_RUN_NOTED = "FlowRunNoted", "A run belongs to a flow run of Prefect.", "flow_run"
    KEYS_COMPARED = "KeysCompared", "A run compared all keys of its source, to find deleted rows.", "source deleted"
    KEYS_REFUSED = "KeysRefused", "The keys that a source listed could not be used.", "source reason"
    BATCH_COMMITTED = "BatchCommitted", "The rows of a run are on its branch.", "commit rows"
    RUN_EMPTY = "RunEmpty", "A run found no rows in its window."
    RUN_ERRORED = "RunErrored", "An attempt of a run could not be finished.", "reason attempt"
    LOCAL_GATE_LEFT_OUT = "LocalGateLeftOut", "A run skipped the local gate, as its ingestor is configured."
    RUN_FAILED = "RunFailed", "A gate failed a run; its branch stays.", "reasons branch commit"
    RUN_HELD = (
        "RunHeld",
        "A run waits: for other rows, for a person, or for rows by hand.",
        "reason reasons branch commit",
    )

    # What people decide on a run
    RUN_FIXED = "RunFixed", "A person replaced the rows of a run.", "reason commit was rows rows_before"
    RUN_APPROVED = (
        "RunApproved",
        "A person accepted the failing checks of a run.",
        "reason commit report waivers checks",
    )
    RUN_REJECTED = "RunRejected", "A person discarded a run.", "reason commit report"
    RECHECK_REQUESTED = "RecheckRequested", "A person had the checks of a run run again.", "commit retyped"
    ROWS_LEFT_OUT = (
        "RowsLeftOut",
        "A person split a run: its failing rows stay on its branch.",
        "reason was commit derived brought merged left_out",
    )
    ROWS_BROUGHT = (
        "RowsBrought",
        "A run holds the rows of a split run that do not fail.",
        "reason commit came_from brought merged left_out",
    )
    CHECK_WAIVED = "CheckWaived", "A person waived a check of a dataset.", "waiver dataset check rows until reason"
    WAIVER_WITHDRAWN = "WaiverWithdrawn", "A person ended a waiver.", "waiver dataset check reason"
    WAIVER_EXPIRED = "WaiverExpired", "The date of a waiver has come.", "waiver dataset check reason waived_by"

    # The merge queue and `main`
    MERGE_REQUESTED = "MergeRequested", "A run is in the merge queue.", "commit report"
    MERGE_APPROVED = "MergeApproved", "Policy approved the merge of a run.", "commit report"
    RUN_KEPT_WAITING = "RunKeptWaiting", "A queued run waits for an earlier one of its in-order ingestor.", "waits_for"
    RUN_FREED = "RunFreed", "A queued run no longer waits for an earlier one.", "waits_for"
    REVERT_REQUESTED = "RevertRequested", "A run waits in the merge queue to be taken out of main.", "reason"
    CANDIDATE_REFUSED = (
        "CandidateRefused",
        "The integration gate refused a candidate; its branch stays for a while.",
        "branch commit runs reverts report reasons",
    )
    RUN_MERGED = "RunMerged", "The rows of a run are in main.", "commit by_hand"
    RUN_REVERTED = "RunReverted", "The rows of a run were taken out of main.", "commit by_hand"
    MAIN_ADVANCED = "MainAdvanced", "A tested candidate is in main.", "commit meta_range"
    MAIN_UNTESTED = "MainUntested", "A merge by hand got under a candidate: main is untested.", "commit meta_range"
    MAIN_FOUND_UNTESTED = (
        "MainFoundUntested",
        "main was moved by hand: its head is untested.",
        "commit meta_range tested",
    )
    MAIN_ADOPTED = "MainAdopted", "The head that was made by hand has passed the integration gate.", "commit meta_range"
    MAIN_HELD = (
        "MainHeld",
        "main was changed by hand, and bringing it back would remove runs: a person decides.",
        "commit meta_range tested reasons runs",
    )
    MAIN_REPAIRED = "MainRepaired", "The head was refused; a repair to tested content begins.", "refused tested reasons"

    # Helper branches and snapshots
    SNAPSHOT_PUBLISHED = "SnapshotPublished", "A served branch shows a snapshot.", "commit branch generation wanted"
    SNAPSHOT_MIXED = (
        "SnapshotMixed",
        "A served branch was changed by hand under a publication.",
        "commit branch generation wanted",
    )
    LEFTOVER_NOTED = "LeftoverNoted", "A helper branch has no owner; it is deleted later.", "branch"
    BRANCH_SWEPT = "BranchSwept", "A helper or evidence branch was deleted.", "branch why"

    # Staging
    DARTIFACT_STARTED = "DartifactStarted", "The build of a dartifact began.", "main_commit"
    DARTIFACT_RETRIED = "DartifactRetried", "The build of a red dartifact began again."
    DARTIFACT_GREEN = "DartifactGreen", "A dartifact was built and passed its tests.", "commit report"
    DARTIFACT_RED = "DartifactRed", "The staging gate refused a dartifact.", "reasons report culprit"
    CODE_REFUSED = "CodeRefused", "A code version is blocked: it was red at staging.", "code why reason"
    CODE_REFUSAL_FORGOTTEN = "CodeRefusalForgotten", "A person unblocked a code version.", "code"
    CODE_CHANGED = "CodeChanged", "Staging went over to another code version.", "code was"
    APPROVAL_NEEDED = "ApprovalNeeded", "A dartifact waits for approvals.", "needed reasons"
    DARTIFACT_ENDORSED = "DartifactEndorsed", "A person approved the promotion of a dartifact.", "reason commit proven"
    DARTIFACT_REJECTED = "DartifactRejected", "A person rejected the promotion of a dartifact.", "reason commit"
    DARTIFACT_APPROVED = "DartifactApproved", "A dartifact may be promoted."
    DARTIFACT_SUPERSEDED = "DartifactSuperseded", "A newer dartifact took the place of one."

    # Production
    SLOT_CLAIMED = "SlotClaimed", "A promotion or rollback took the idle slot.", "plan slot"
    SLOT_PUBLISHED = "SlotPublished", "A slot shows a dartifact.", "slot commit"
    SLOT_SMOKED = "SlotSmoked", "A slot passed the smoke gate.", "slot commit report"
    SLOT_ABANDONED = "SlotAbandoned", "A slot was given up before it went live.", "slot reason reasons"
    TRAFFIC_SHIFTED = "TrafficShifted", "A share of the named consumers reads a slot.", "slot weight"
    TRAFFIC_SOAKED = "TrafficSoaked", "The traffic gate passed a share.", "slot weight commit report"
    TRAFFIC_REFUSED = "TrafficRefused", "The traffic gate stopped a promotion.", "plan refused slot weight reasons"
    ERROR_REPORTED = "ErrorReported", "A consumer reported an error.", "consumer message commit slot plan"
    PRODUCTION_SETTLED = "ProductionSettled", "All consumers read the promoted dartifact.", "plan slot"
    DARTIFACT_LIVE = "DartifactLive", "A dartifact is what production shows.", "commit"
    PROMOTION_FINISHED = "PromotionFinished", "The branch production shows the promoted dartifact.", "plan"
    CONSUMERS_SENT_BACK = "ConsumersSentBack", "An aborted promotion gave its consumers back.", "plan slot reason"
    PROMOTION_ABORTED = "PromotionAborted", "A promotion or rollback ended before its last step.", "step reason"
    PROMOTIONS_FROZEN = "PromotionsFrozen", "Promotions are frozen.", "reason"
    PROMOTIONS_UNFROZEN = "PromotionsUnfrozen", "Promotions are allowed again.", "reason"
    PRODUCTION_ROLLED_BACK = "ProductionRolledBack", "Production went back.", "plan reason leaves returns"
    DARTIFACT_BAD = "DartifactBad", "A dartifact is bad: it is never promoted again.", "reason reasons"
    BLAME_RECORDED = "BlameRecorded", "A rollback blamed a run or a code version.", "kind value"
    PRODUCTION_RECOVERED = (
        "ProductionRecovered",
        "The lake lost what was live; an earlier dartifact is.",
        "leaves returns reasons",
    )
    LEDGER_ADOPTED = "LedgerAdopted", "A person took what the lake holds into the ledger.", "reason why runs dartifacts"
    RUN_ADOPTED = "RunAdopted", "A run that only the lake knew is in the ledger.", "seq lo hi commit"
    DARTIFACT_ADOPTED = "DartifactAdopted", "A dartifact that only the lake knew is in the ledger.", "commit"
    POINTER_ADOPTED = "PointerAdopted", "The live pointer is what the lake shows; promotions are frozen.", "reason"
    PRODUCTION_LOST = "ProductionLost", "The lake lost what was live, and all that could replace it.", "reasons"

    # What people stop
    INGESTOR_PAUSED = "IngestorPaused", "A person paused an ingestor.", "name reason"
    INGESTOR_RESUMED = "IngestorResumed", "A person resumed an ingestor.", "name"
    LINE_STOPPED = "LineStopped", "A person paused everything.", "name reason"
    LINE_STARTED = "LineStarted", "A person resumed everything.", "name"

    # What nobody was let do
    ATTEMPT_REFUSED = "AttemptRefused", "A person was refused a deed that takes another role.", "deed role needed"
