# What a task needs of the host, unveiled by the job: the client needs unveil_by_task = true. And memory that
# may grow for a while beyond what the scheduler counts: memory_max, where the cluster allows oversubscription.
#
# It prints:
#   this is Linux
#   the certificates are here
#   /etc/passwd: denied
# It exits with 0.

job "unveil" {
  type = "batch"

  group "look" {
    task "look" {
      driver = "exec2"

      config {
        command = "sh"
        args    = ["${NOMAD_TASK_DIR}/look.sh"]

        unveil = [
          # A file, for reading.
          "r:/etc/os-release",
          # A folder and all below it: what is in /usr/share is no default.
          "r:/usr/share/ca-certificates",
          # Relative paths are below the task's folder.
          "rx:local",
        ]
      }

      template {
        destination = "local/look.sh"
        data        = <<-EOT
          grep -q '^NAME=.*Linux' /etc/os-release && echo "this is Linux"
          ls /usr/share/ca-certificates >/dev/null && echo "the certificates are here"
          cat /etc/passwd 2>/dev/null || echo "/etc/passwd: denied"
        EOT
      }

      resources {
        cpu        = 100
        memory     = 32
        memory_max = 64
      }
    }
  }
}
