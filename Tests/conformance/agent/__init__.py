"""A host for the plugin that behaves like the Nomad agent.

`AgentHost` owns the directories, cgroups, mounts and log pipes; `Plugin` is one
launched process and its gRPC services; `Task` is one task with its directories
and its calls.
"""

from agent.host import AgentHost
from agent.plugin import HandshakeError, Plugin
from agent.task import ExitResult, Task

__all__ = ["AgentHost", "ExitResult", "HandshakeError", "Plugin", "Task"]
