# The plugin's block in the Nomad agent's configuration. Both programs,
# nomad-driver-exec2 and nomad-driver-exec2-executor, are in plugin_dir.

plugin_dir = "/opt/nomad/plugins"

plugin "nomad-driver-exec2" {
  config {
    # The paths that programs usually need, and each task's own folders.
    unveil_defaults = true

    # What every task of this client may reach besides: modes, a colon, a path.
    # r: read, w: write, x: execute, c: create and remove.
    unveil_paths = ["r:/etc/mime.types"]

    # Whether a job may unveil paths of its own choice (option unveil of a task).
    unveil_by_task = true
  }
}
