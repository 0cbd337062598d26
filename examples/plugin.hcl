# The plugin block with every option at its default. It has no plugin_dir: the client's is Nomad's own
# (data_dir/plugins), as with the Debian package. An option in a comment has no default.

plugin "nomad-driver-exec2" {
  config {
    # Tasks reach the paths that programs usually need, and their own directories.
    unveil_defaults = true

    # Rules for every task of this client: modes (r, w, x, c), a colon, an absolute path; r?:/path if it may be missing.
    unveil_paths = []

    # Whether jobs may unveil paths of their own choice with the task option unveil.
    unveil_by_task = false

    # Where the Executor is. Without this, the driver searches the usual places.
    # executor_path = "/usr/libexec/nomad-driver-exec2/nomad-driver-exec2-executor"

    # Seconds until a running task that no agent has ever known is ended; 0 turns that off.
    orphan_grace = 30

    # After the first start, one Executor is kept ready for the next task, which then starts sooner.
    standby_executor = true

    # The directory of the tasks' pipes and exit records. It should not outlive a reboot.
    state_dir = "/run/nomad-driver-exec2"

    # Uids and gids that no task may have, under whatever user name.
    # denied_host_uids = "0-999,65534"
    # denied_host_gids = "0-999,65534"

    # The lowest and highest uid of dynamic workload users: the same as in the client's users block.
    dynamic_user_min = 80000
    dynamic_user_max = 89999

    # Capabilities that jobs may add with cap_add.
    allow_caps = []

    # Resource limits that jobs may raise above the agent's own hard limits, such as memlock.
    allow_ulimits = []

    # The minimum version of the kernel's Landlock interface: 4 has rules for TCP ports, 6 denies abstract sockets,
    # 9 has rules for unix sockets, 10 for UDP ports.
    landlock_min_abi = 1

    # Whether tasks reach the host's abstract unix sockets.
    abstract_sockets = false

    # Whether tasks connect to unix sockets by path without a rule with w.
    pathname_sockets = false

    # Whether denials are logged to the kernel's audit log, and the paths below which they are not.
    log_denials = false
    # Whether the first ones are told in tasks' events too, with the rule that would allow them.
    denial_events = false
    quiet_paths = []

    # Whether tasks with a memory limit may swap too.
    memory_swap = false

    # Whether tasks have a seccomp filter.
    seccomp = true

    # Groups of denied system calls that jobs may allow with syscalls, such as io_uring.
    allow_syscalls = []
  }
}
