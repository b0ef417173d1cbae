# Beside the loopback listener of -dev: the socket by which the sidecar and its setup come in.
listener "unix" {
  address = "/run/openbao/bao.sock"
}
