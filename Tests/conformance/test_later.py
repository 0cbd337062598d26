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
    "ExecTask": Driver.ExecTaskRequest(task_id="x", command=["true"]),
    "ExecTaskStreaming": Driver.ExecTaskStreamingRequest(setup=Driver.ExecTaskStreamingRequest.Setup(task_id="x", command=["true"])),
    "CreateNetwork": Driver.CreateNetworkRequest(alloc_id="x"),
    "DestroyNetwork": Driver.DestroyNetworkRequest(alloc_id="x"),
}


@pytest.mark.parametrize("method, request_", UNIMPLEMENTED.items())
def test_unimplemented(plugin: Plugin, method: str, request_: Any) -> None:
    call = getattr(plugin.driver, method)
    with pytest.raises(grpc.RpcError) as refusal:
        if method == "ExecTaskStreaming":
            list(call(iter([request_]), timeout=scaled(10)))
        else:
            call(request_, timeout=scaled(10))
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_exec_is_not_advertised(plugin: Plugin) -> None:
    given = plugin.driver.Capabilities(Driver.CapabilitiesRequest(), timeout=scaled(10)).capabilities
    assert not given.exec
