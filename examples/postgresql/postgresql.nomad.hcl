# PostgreSQL 15 (Debian's package postgresql-15): one task makes the database in a host volume, unless it is there, the main
# task serves it, and a third one asks it something. The client needs unveil_by_task = true, and
# host_volume "postgresql" { path = "/srv/postgresql" } in its client block, a directory of the task's user.
#
# Task initdb prints:
#   a new database
# It exits with 0.
#
# Task postgres prints nothing.
# It exits with 0.
#
# Task query prints:
#   the sum is 5050
# It exits with 0.

job "postgresql" {
  type = "service"

  group "db" {
    network {
      mode = "host"
      port "db" {}
    }

    volume "data" {
      type      = "host"
      source    = "postgresql"
      read_only = false
    }

    task "initdb" {
      driver = "exec2"

      lifecycle {
        hook = "prestart"
      }

      # The owner of the files, for each task and run after run: PostgreSQL refuses those of others. Better than nobody is a
      # user for this job alone.
      user = "nobody"

      volume_mount {
        volume      = "data"
        destination = "${NOMAD_TASK_DIR}/data"
      }

      config {
        command = "bash"
        args = ["-ec", <<-EOT
          [ ! -e local/data/15/PG_VERSION ] || exit 0
          /usr/lib/postgresql/15/bin/initdb -D local/data/15 -A trust -U owner >/dev/null
          echo "a new database"
        EOT
        ]
        unveil = ["r:/usr/share/postgresql"]
        # It looks its user up.
        user_files = true
      }

      resources {
        cpu    = 2000
        memory = 256
      }
    }

    task "postgres" {
      driver       = "exec2"
      user         = "nobody"
      kill_signal  = "SIGINT"
      kill_timeout = "30s"

      volume_mount {
        volume      = "data"
        destination = "${NOMAD_TASK_DIR}/data"
      }

      config {
        command = "/usr/lib/postgresql/15/bin/postgres"
        args    = ["-D", "local/data/15", "-h", "127.0.0.1", "-p", "${NOMAD_PORT_db}", "-k", ""]
        unveil  = ["r:/usr/share/postgresql"]

        user_files = true
        # SIGINT asks the main process for a fast shutdown, and cancels the queries of the others.
        signal_to = "process"
        # Of its shared memory, parallel queries use /dev/shm.
        shm_size = "128m"
      }

      resources {
        cpu    = 1000
        memory = 256
      }
    }

    task "query" {
      driver = "exec2"

      lifecycle {
        hook = "poststart"
      }

      config {
        command = "bash"
        args = ["-ec", <<-EOT
          sum="select sum(number) from generate_series(1, 100) as number"
          until answer=$(/usr/lib/postgresql/15/bin/psql -At -h 127.0.0.1 -p "$NOMAD_PORT_db" -U owner -d postgres -c "$sum"); do sleep 0.5; done
          echo "the sum is $answer"
        EOT
        ]
        user_files = true
      }

      resources {
        cpu    = 500
        memory = 64
      }
    }
  }
}
