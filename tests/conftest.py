"""What holds for every test."""

import os

from hypothesis import settings

from support.postgres import stop_shared_server

# Each process of the tests would look for plugins of pydantic in all packages that the tests need; there are none.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
# How long an example takes says more of the machine than of the code.
settings.register_profile("fmq", deadline=None)
settings.load_profile("fmq")
# The settings of the person who runs the tests are not those under test.
for name in [name for name in os.environ if name.startswith("FMQ_") and not name.startswith("FMQ_TEST_")]:
    del os.environ[name]


def pytest_unconfigure() -> None:
    stop_shared_server()
