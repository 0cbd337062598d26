# A Go service, built by the task itself (Debian's package golang-go). A program that is built already, which an artifact
# block brings, needs neither the rule nor so much memory. The client needs unveil_by_task = true.
#
# To "GET / HTTP/1.0" at port http it answers "Hello from the sandbox".
#
# It prints:
#   up
#   finished
# It exits with 0.

job "go" {
  type = "service"

  group "web" {
    network {
      mode = "host"
      port "http" {}
    }

    task "server" {
      driver       = "exec2"
      kill_signal  = "SIGTERM"
      kill_timeout = "20s"

      config {
        command = "bash"
        args    = ["-ec", "go build -o tmp/server local/server.go; exec tmp/server"]

        # The standard library, which is elsewhere on other distributions.
        unveil = ["r?:/usr/share/go-1.19", "r?:/usr/share/go-1.24"]
      }

      env {
        GOCACHE = "${NOMAD_TASK_DIR}/cache"
      }

      template {
        destination = "local/server.go"
        data        = <<-EOT
          package main

          import (
              "context"
              "fmt"
              "net/http"
              "os"
              "os/signal"
              "syscall"
          )

          func main() {
              stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
              defer cancel()
              server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("NOMAD_PORT_http")}
              http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Hello from the sandbox") })
              go server.ListenAndServe()
              fmt.Println("up")
              <-stop.Done()
              server.Shutdown(context.Background())
              fmt.Println("finished")
          }
        EOT
      }

      resources {
        cpu    = 4000
        memory = 512
      }
    }
  }
}
