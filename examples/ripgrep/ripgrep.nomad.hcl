# A program written in Rust: Debian's ripgrep counts the errors in each of the job's log files that has some. It needs no
# rule.
#
# It prints:
#   local/logs/shop.log:2
# It exits with 0.

job "ripgrep" {
  type = "batch"

  group "logs" {
    task "count" {
      driver = "exec2"

      config {
        command = "rg"
        args    = ["--count", "error", "local/logs"]
      }

      template {
        destination = "local/logs/shop.log"
        data        = <<-EOT
          error: out of stock
          sold
          error: out of stock
        EOT
      }

      template {
        destination = "local/logs/mail.log"
        data        = <<-EOT
          sent
        EOT
      }

      resources {
        cpu    = 200
        memory = 64
      }
    }
  }
}
