"""A host for the plugin that behaves as the Nomad agent does.

`AgentHost` owns the directories, cgroups, mounts and log pipes; `Plugin` is one
launched process and its gRPC services; `Task` is one task from its directories to
its last answer.
"""

from agent.host import AgentHost
from agent.plugin import HandshakeError, Plugin
from agent.task import ExitResult, Task

__all__ = ["AgentHost", "ExitResult", "HandshakeError", "Plugin", "Task"]
