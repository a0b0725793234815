"""A real PostgreSQL store and the reference: any history of calls gives the same messages, states and counters."""

import pytest
from hypothesis import settings

from model.movers import MovedStore
from model.operators import OperatedStore
from model.services import SETTINGS

pytestmark = pytest.mark.postgres


class PostgresStore(OperatedStore):
    scheme = "postgresql"


class MovedPostgresStore(MovedStore):
    scheme = "postgresql"


# Each call takes a round trip.
PostgresStore.TestCase.settings = MovedPostgresStore.TestCase.settings = settings(SETTINGS, max_examples=15)
TestPostgres = PostgresStore.TestCase
TestMovedPostgres = MovedPostgresStore.TestCase
