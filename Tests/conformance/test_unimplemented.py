"""What the plugin does not do yet is said so and not advertised."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from agent import Plugin, messages
from agent.timing import scaled

Driver = messages.driver
# Method → request. A method that is built leaves this table.
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
