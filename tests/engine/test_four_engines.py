"""The same list of thunks gives equal answers wherever it is asked; `ray_engine.py` takes it through Ray as well."""

from __future__ import annotations

import distributed
import pytest

from tests.engine.batch.service import services
from tests.engine.four_engines import settled

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """A worker that has the key and the address of a server in its environment, as this process has."""
    with pytest.MonkeyPatch.context() as environment, services(tmp_path_factory.mktemp("served")) as served:
        environment.setenv("OPENAI_API_KEY", "sk-of-the-environment-0123456789")
        environment.setenv("OPENAI_BASE_URL", f"{served.url}/v1")
        with (
            distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client


async def test_the_same_list_gives_equal_answers_on_every_engine(dask):
    """Text, usage, finish reason, cost, parsed value and error are those of this process, thunk by thunk."""
    here = await settled("local")
    for on in (dask, "batch"):
        assert await settled(on) == here, on
