# What cron did: a bash script that runs every night, packs the day's files of a host volume and removes old archives. The
# client needs host_volume "reports" { path = "/srv/reports" } in its client block, a directory of the task's user.
#
# It prints:
#   2 files are in */reports.tar.gz
#   archives: 1
# It exits with 0.

job "nightly" {
  type = "batch"

  periodic {
    crons            = ["30 3 * * *"]
    time_zone        = "Europe/Berlin"
    prohibit_overlap = true
  }

  group "reports" {
    volume "reports" {
      type      = "host"
      source    = "reports"
      read_only = false
    }

    task "pack" {
      driver = "exec2"

      volume_mount {
        volume      = "reports"
        destination = "/reports"
      }

      config {
        command = "bash"
        args    = ["${NOMAD_TASK_DIR}/pack.sh"]

        # No file is larger than 1 GB.
        ulimit = { fsize = "1000000000" }
      }

      template {
        destination = "local/pack.sh"
        data        = <<-EOT
          set -euo pipefail
          shopt -s nullglob
          cd /reports
          # For the first night.
          [ -e orders.csv ] || printf '%s\n' one two >orders.csv
          [ -e visits.csv ] || seq 100 >visits.csv
          day=$(TZ=Europe/Berlin date +%F)
          mkdir -p "$day"
          files=(*.csv)
          tar -czf "$day/reports.tar.gz" -- "$${files[@]}"
          echo "$(tar -tzf "$day/reports.tar.gz" | wc -l) files are in $day/reports.tar.gz"
          find . -mindepth 2 -name reports.tar.gz -mtime +30 -delete
          echo "archives: $(find . -mindepth 2 -name reports.tar.gz | wc -l)"
        EOT
      }

      resources {
        cpu    = 1000
        memory = 64
      }
    }
  }
}
