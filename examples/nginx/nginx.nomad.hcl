# nginx (Debian's package nginx) with a master process and two workers. It logs to the task's output, opens it by its path,
# and reads its configuration again when the template changes. The client needs unveil_by_task = true.
#
# To "GET / HTTP/1.0" at port http it answers "<h1>Hello from the sandbox</h1>".
#
# It prints:
#   127.0.0.1 GET / HTTP/1.0 200
#   127.0.0.1 GET / HTTP/1.0 200
# It exits with 0.

job "nginx" {
  type = "service"

  group "web" {
    network {
      mode = "host"
      port "http" {}
    }

    task "server" {
      driver = "exec2"

      # It answers what it is at, and ends.
      kill_signal  = "SIGQUIT"
      kill_timeout = "20s"

      config {
        command = "nginx"
        args    = ["-p", "${NOMAD_TASK_DIR}/..", "-c", "local/nginx.conf"]

        # Types of files, and whatever else the host has there.
        unveil = ["r:/etc/nginx"]

        # The master tells its workers what to do.
        signal_to = "process"
      }

      template {
        destination   = "local/nginx.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<-EOT
          daemon off;
          worker_processes 2;
          pid local/nginx.pid;
          error_log /dev/stderr;
          events {}
          http {
              include /etc/nginx/mime.types;
              log_format short "$remote_addr $request $status";
              access_log /dev/stdout short;
              client_body_temp_path tmp/body;
              proxy_temp_path tmp/proxy;
              fastcgi_temp_path tmp/fastcgi;
              uwsgi_temp_path tmp/uwsgi;
              scgi_temp_path tmp/scgi;
              server {
                  listen 127.0.0.1:{{ env "NOMAD_PORT_http" }};
                  root local;
              }
          }
        EOT
      }

      template {
        destination = "local/index.html"
        data        = "<h1>Hello from the sandbox</h1>\n"
      }

      resources {
        cpu    = 200
        memory = 64
      }
    }
  }
}
