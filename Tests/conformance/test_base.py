"""What the plugin answers before any task: info, schemas, capabilities."""

from __future__ import annotations

import re
from typing import Any, Callable

import pytest

from agent import Plugin, messages
from agent.timing import scaled

Mode = messages.driver.NetworkIsolationSpec
Capabilities = messages.driver.DriverCapabilities

# The options of HashiCorp's driver and further ones: name → (type, required).
PLUGIN_OPTIONS = {
    "unveil_defaults": ("bool", False), "unveil_paths": ("list(string)", False), "unveil_by_task": ("bool", False),
    "executor_path": ("string", False), "state_dir": ("string", False),
}
TASK_OPTIONS = {
    "command": ("string", True), "args": ("list(string)", False), "unveil": ("list(string)", False),
    "oom_score_adj": ("number", False),
}


def attributes(spec: Any) -> dict[str, Any]:
    """Each attribute of a schema by name; for one with a default, its primary spec."""
    assert spec.WhichOneof("block") == "object"
    found = {}
    for key, value in spec.object.attributes.items():
        inner = value.default.primary if value.WhichOneof("block") == "default" else value
        assert inner.WhichOneof("block") in ("Attr", "block_attrs"), key
        attribute = getattr(inner, inner.WhichOneof("block"))
        assert attribute.name == key
        found[key] = attribute
    return found


def defaults(spec: Any) -> dict[str, str]:
    """The literal defaults of a schema."""
    return {
        key: value.default.default.literal.value
        for key, value in spec.object.attributes.items() if value.WhichOneof("block") == "default"
    }


def test_plugin_info_before_set_config(launch: Callable[..., Plugin]) -> None:
    plugin = launch(configure=False)
    info = plugin.base.PluginInfo(messages.base.PluginInfoRequest(), timeout=scaled(10))
    assert info.type == messages.base.DRIVER
    assert list(info.plugin_api_versions) == ["0.1.0"]
    assert info.name == "exec2"
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", info.plugin_version)


@pytest.mark.parametrize("name, expected", PLUGIN_OPTIONS.items())
def test_plugin_schema(plugin: Plugin, name: str, expected: tuple[str, bool]) -> None:
    spec = plugin.base.ConfigSchema(messages.base.ConfigSchemaRequest(), timeout=scaled(10)).spec
    attribute = attributes(spec)[name]
    assert (attribute.type, attribute.required) == expected


def test_plugin_schema_defaults(plugin: Plugin) -> None:
    spec = plugin.base.ConfigSchema(messages.base.ConfigSchemaRequest(), timeout=scaled(10)).spec
    given = defaults(spec)
    assert given["unveil_defaults"] == "true"
    assert given.get("unveil_by_task", "false") == "false"
    assert given.get("unveil_paths", "[]") == "[]"


@pytest.mark.parametrize("name, expected", TASK_OPTIONS.items())
def test_task_schema(plugin: Plugin, name: str, expected: tuple[str, bool]) -> None:
    spec = plugin.driver.TaskConfigSchema(messages.driver.TaskConfigSchemaRequest(), timeout=scaled(10)).spec
    attribute = attributes(spec)[name]
    assert (attribute.type, attribute.required) == expected


def test_capabilities(plugin: Plugin) -> None:
    given = plugin.driver.Capabilities(messages.driver.CapabilitiesRequest(), timeout=scaled(10)).capabilities
    assert given.send_signals
    assert given.fs_isolation == Capabilities.UNVEIL
    assert {Mode.HOST, Mode.GROUP} <= set(given.network_isolation_modes)
    assert Mode.TASK not in given.network_isolation_modes
    assert not given.must_create_network
    assert not given.disable_log_collection
    assert given.dynamic_workload_users


def test_init_and_driver_shutdown(launch: Callable[..., Plugin]) -> None:
    plugin = launch()
    plugin.driver.Init(messages.driver.InitRequest(), timeout=scaled(10))
    plugin.driver.Shutdown(messages.driver.ShutdownRequest(), timeout=scaled(10))


def test_capabilities_before_set_config(launch: Callable[..., Plugin]) -> None:
    plugin = launch(configure=False)
    plugin.driver.Capabilities(messages.driver.CapabilitiesRequest(), timeout=scaled(10))
    plugin.driver.TaskConfigSchema(messages.driver.TaskConfigSchemaRequest(), timeout=scaled(10))
