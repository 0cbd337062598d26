"""Many tasks are started and ended, and nothing of them is left in the driver: the short form of `make soak`."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

import soak
from agent import AgentHost


@pytest.fixture
def own_host(binary: Path) -> Iterator[AgentHost]:
    host = AgentHost(with_controllers=False)
    yield host
    faults = host.close()
    assert not faults, "\n".join(faults)


def test_soak(own_host: AgentHost) -> None:
    """60 alive, 600 in succession. It fails if a single task is not destroyed: four descriptors and a state
    directory more than before."""
    seen = soak.run(own_host, alive=60, row=600)
    assert seen.faults == []
    assert seen.ended == 652 and seen.stats > 0 and seen.signals > 0 and seen.renewals >= 50
    assert seen.off() == [], (seen.first, seen.last)
