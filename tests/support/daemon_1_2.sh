#!/bin/bash
# A custom managed proxy as one was written for Consul 1.2, in shell: no Python, no curl. It serves one
# caller of the mesh at a time. All that it is told comes in its environment and from the agent's API.
set -eu

ask() { # PATH: the body of the answer
  exec 3<>"/dev/tcp/${CONSUL_HTTP_ADDR%:*}/${CONSUL_HTTP_ADDR##*:}"
  printf 'GET %s HTTP/1.0\r\nX-Consul-Token: %s\r\n\r\n' "$1" "$CONNECT_PROXY_TOKEN" >&3
  sed '1,/^\r*$/d' <&3
  exec 3>&-
}

text() { # KEY: its first text in the JSON on standard input, its newlines real ones
  printf '%b' "$(grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | sed 's/^[^:]*: *"//; s/"$//')"
}

number() { # KEY: its first number in the JSON on standard input
  grep -o "\"$1\": *[0-9]*" | head -n 1 | grep -o '[0-9]*$'
}

view=$(ask "/v1/agent/connect/proxy/$CONNECT_PROXY_ID")
port=$(number bind_port <<<"$view")
bind=$(text bind_address <<<"$view")
service=$(text TargetServiceName <<<"$view")
local=$(text local_service_address <<<"$view")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
umask 077
leaf=$(ask "/v1/agent/connect/ca/leaf/$service")
text CertPEM <<<"$leaf" >"$folder/leaf.pem"
text PrivateKeyPEM <<<"$leaf" >"$folder/key.pem"
ask /v1/agent/connect/ca/roots | text RootCert >"$folder/roots.pem"

while true; do
  exec 4<>"/dev/tcp/${local%:*}/${local##*:}"
  openssl s_server -quiet -naccept 1 -accept "$bind:$port" -cert "$folder/leaf.pem" -key "$folder/key.pem" \
    -CAfile "$folder/roots.pem" -Verify 2 -verify_return_error <&4 >&4 || true
  exec 4>&-
done
