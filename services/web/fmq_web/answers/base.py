"""The base of all answers."""

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Something that the API answers and a page shows.

    Ids are strings, since JavaScript's numbers are exact only up to 2**53. Times are in Unix seconds, durations in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
