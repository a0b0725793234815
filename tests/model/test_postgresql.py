"""A real PostgreSQL store and the reference: any history of calls gives the same messages, states and counters."""

import pytest
from hypothesis import settings

from model.movers import MovedStore
from model.services import SETTINGS

pytestmark = pytest.mark.postgres


class PostgresStore(MovedStore):
    scheme = "postgresql"


PostgresStore.TestCase.settings = settings(SETTINGS, max_examples=15)  # each call takes a round trip
TestPostgres = PostgresStore.TestCase
