# Redis (Debian's package redis-server), whose data is in a host volume and outlives the job. The client needs
# host_volume "redis" { path = "/srv/redis" } in its client block, a directory of the task's user.
#
# To "PING" at port db it answers "+PONG".
# To "INCR visits" at port db it answers ":1".
#
# It prints nothing.
# It exits with 0.

job "redis" {
  type = "service"

  group "db" {
    network {
      mode = "host"
      port "db" {}
    }

    volume "data" {
      type      = "host"
      source    = "redis"
      read_only = false
    }

    task "redis" {
      driver = "exec2"

      # The owner of the files, run after run. Better than nobody is a user for this job alone.
      user         = "nobody"
      kill_signal  = "SIGTERM"
      kill_timeout = "20s"

      volume_mount {
        volume      = "data"
        destination = "${NOMAD_TASK_DIR}/data"
      }

      config {
        command = "redis-server"
        args    = ["${NOMAD_TASK_DIR}/redis.conf", "--port", "${NOMAD_PORT_db}"]
      }

      template {
        destination = "local/redis.conf"
        data        = <<-EOT
          bind 127.0.0.1
          dir {{ env "NOMAD_TASK_DIR" }}/data
          appendonly yes
          save ""
          logfile /dev/stderr
        EOT
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }
}
