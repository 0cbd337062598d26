"""Calls that the plugin does not implement return UNIMPLEMENTED."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from agent import Plugin, messages
from agent.timing import scaled

Driver = messages.driver
# Method → request. Remove a method from this table when it is implemented.
UNIMPLEMENTED = {
    "CreateNetwork": Driver.CreateNetworkRequest(alloc_id="x"),
    "DestroyNetwork": Driver.DestroyNetworkRequest(alloc_id="x"),
}


@pytest.mark.parametrize("method, request_", UNIMPLEMENTED.items())
def test_unimplemented(plugin: Plugin, method: str, request_: Any) -> None:
    call = getattr(plugin.driver, method)
    with pytest.raises(grpc.RpcError) as refusal:
        call(request_, timeout=scaled(10))
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED
