# A job that unveils paths of the host. The client needs unveil_by_task = true.
# The task may use more memory than the scheduler reserves (memory_max), if the cluster allows memory oversubscription.
#
# It prints:
#   this is Linux
#   the certificates are here, and there is no /etc/exec2-example
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
          # A file, to read.
          "r:/etc/os-release",
          # A directory and everything below it: it is not one of the default paths.
          "r:/usr/share/ca-certificates",
          # What not every host has, by the ?.
          "r?:/etc/exec2-example",
          # Relative paths are relative to the task's directory.
          "rx:local",
        ]
      }

      template {
        destination = "local/look.sh"
        data        = <<-EOT
          grep -q '^NAME=.*Linux' /etc/os-release && echo "this is Linux"
          ls /usr/share/ca-certificates >/dev/null && echo "the certificates are here, and there is $(cat /etc/exec2-example 2>/dev/null || echo no /etc/exec2-example)"
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
