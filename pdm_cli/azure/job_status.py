"""How jobs stand, in the service's own words."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pdm_cli.azure.job_spec import COMMAND_TAG

COMPLETED = "Completed"
CANCELLED = "Canceled"
FAILED = "Failed"
# A job in one of these stays in it.
FINISHED = frozenset({COMPLETED, CANCELLED, FAILED, "NotResponding"})
# A job or step in one of these has printed nothing yet.
NOT_BEGUN = frozenset({"NotStarted", "Queued", "Provisioning", "Preparing", "Starting"})


@dataclass(frozen=True)
class StepState:
    """A step of a pipeline.

    Attributes
    ----------
    name : str
        Its name in the pipeline.
    job : str
        Its own job; of a step that was not run again too.
    status : str
        How it stands.
    is_reused : bool
        Whether an earlier job's outputs were taken.
    """

    name: str
    job: str
    status: str
    is_reused: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether it stays as it is."""
        return self.status in FINISHED

    @property
    def has_failed(self) -> bool:
        """Whether it ended in an error."""
        return self.status == FAILED

    @property
    def has_log(self) -> bool:
        """Whether it may have printed something; a step that was reused has not."""
        return not self.is_reused and self.status not in NOT_BEGUN


@dataclass(frozen=True)
class JobState:
    """A job.

    Attributes
    ----------
    name : str
        Its name.
    status : str
        How it stands.
    steps : tuple of StepState
        Those of a pipeline.
    tags : dict of str to str
        The user's and pdm's.
    outputs : dict of str to (str or None)
        Name to address.
    experiment, display_name, studio_url : str
        As listed in the studio.
    created : datetime or None
        When it was submitted (UTC).
    started, ended : datetime or None
        When it ran (UTC); only where the run history was asked.
    error : str
        The service's word on why it failed; only where the run history was asked.
    """

    name: str
    status: str
    steps: tuple[StepState, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str | None] = field(default_factory=dict)
    experiment: str = ""
    display_name: str = ""
    studio_url: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""

    @property
    def command(self) -> str | None:
        """Command of pdm that it runs; ``None`` if pdm did not submit it."""
        return self.tags.get(COMMAND_TAG)

    @property
    def is_finished(self) -> bool:
        """Whether it stays as it is."""
        return self.status in FINISHED

    def runs(self) -> dict[str, str]:
        """Return step to job; a single command is its own step."""
        return {part.name: part.job for part in self.parts()}

    def parts(self) -> tuple[StepState, ...]:
        """Return what prints: the steps of a pipeline, or the single command itself."""
        return self.steps or (StepState(self.name, self.name, self.status),)
