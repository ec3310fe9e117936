connect {
  proxy_defaults {
    command = ["/usr/bin/my-proxy"]
  }
}

service {
  name = "web"
  port = 8080
  connect { proxy {} }
}
