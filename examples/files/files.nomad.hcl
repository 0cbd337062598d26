# A program that looks itself up in /etc/passwd, writes to its home directory and to /tmp, and shares memory with its
# children: it has files of its own there, and nothing of the host's.
#
# It prints:
#   I am nomad-*, and my home directory is */local
#   /tmp has nothing in it, and /dev/shm has room for 128 MB
# It exits with 0.

job "files" {
  type = "batch"

  group "files" {
    task "files" {
      driver = "exec2"

      config {
        command = "sh"
        args    = ["${NOMAD_TASK_DIR}/files.sh"]

        # /tmp is the task's own tmp directory.
        private_tmp = true

        # /etc/passwd and /etc/group, with the task's user in them.
        user_files = true

        # 64 MB without this. What is in /dev/shm counts as the task's memory.
        shm_size = "128m"
      }

      # A dynamic workload user has none without this.
      env {
        HOME = "${NOMAD_TASK_DIR}"
      }

      template {
        destination = "local/files.sh"
        data        = <<-EOT
          echo "I am $(whoami), and my home directory is $(getent passwd "$(whoami)" | cut -d: -f6)"
          touch ~/.history
          echo "/tmp has $(ls -A /tmp | grep . || echo nothing) in it, and /dev/shm has room for $(df -m --output=avail /dev/shm | tail -n 1 | tr -d ' ') MB"
        EOT
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
