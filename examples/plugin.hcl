# The plugin's block alone, with every option at its default: for a client whose plugin_dir is Nomad's own
# (data_dir/plugins), as with the Debian package. What is not set here has no default.

plugin "nomad-driver-exec2" {
  config {
    # Tasks reach the paths that programs usually need, and their own folders.
    unveil_defaults = true

    # Rules for every task of this client: modes (r, w, x, c), a colon, an absolute path.
    unveil_paths = []

    # Whether jobs may unveil paths of their own choice.
    unveil_by_task = false

    # Where the Executor is, if it is in none of the usual places.
    # executor_path = "/usr/libexec/nomad-driver-exec2/nomad-driver-exec2-executor"

    # Seconds until a running task that no agent has ever claimed is ended; 0 never ends one.
    orphan_grace = 30

    # One Executor is started ahead of the next task, which then starts sooner.
    standby_executor = true

    # Pipes and exit records of the tasks. It should not outlive a reboot.
    state_dir = "/run/nomad-driver-exec2"

    # Uids and gids that no task runs as, by whatever name a job has them.
    # denied_host_uids = "0-999,65534"
    # denied_host_gids = "0-999,65534"

    # Numbers of dynamic workload users: the same as in the client's users block.
    dynamic_user_min = 80000
    dynamic_user_max = 89999

    # Capabilities that jobs may add with cap_add.
    allow_caps = []

    # Resource limits that jobs may raise above the agent's own hard limits, such as memlock.
    allow_ulimits = []

    # The minimum version of the kernel's Landlock interface: 4 has rules for TCP ports, 6 closes abstract sockets,
    # 9 has rules for unix sockets, 10 for UDP ports.
    landlock_min_abi = 1

    # Whether tasks reach the host's abstract unix sockets.
    abstract_sockets = false

    # Whether tasks connect to unix sockets by path without a rule of mode w.
    pathname_sockets = false

    # Whether what tasks are denied goes to the kernel's audit log, and below which paths it does not.
    log_denials = false
    quiet_paths = []

    # Whether tasks with a memory limit may swap as well.
    memory_swap = false

    # Whether tasks have a filter of system calls.
    seccomp = true

    # Groups of closed system calls that jobs may open with syscalls, such as io_uring.
    allow_syscalls = []
  }
}
