"""Address templates as Consul takes them (go-sockaddr): ``{{ GetInterfaceIP "eth0" }}:8443``."""
