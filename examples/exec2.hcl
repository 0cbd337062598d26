# The plugin block in the Nomad agent's configuration. Both programs,
# nomad-driver-exec2 and nomad-driver-exec2-executor, are in plugin_dir.

plugin_dir = "/opt/nomad/plugins"

plugin "nomad-driver-exec2" {
  config {
    # Unveils the paths that programs usually need, and each task's own directories.
    unveil_defaults = true

    # More rules for every task of this client: modes, a colon, a path.
    # r: read, w: write, x: execute, c: create and remove.
    unveil_paths = ["r:/etc/mime.types"]

    # Whether jobs may unveil paths of their own choice (task option unveil).
    unveil_by_task = true
  }
}
