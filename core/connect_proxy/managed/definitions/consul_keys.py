"""Keys of Consul's configuration files that mean nothing to this agent: data, no decisions.

Source: ``consul validate`` of 1.8.7 with every name found in the program, and the reference of the
configuration file for the keys that came later or went before.
"""

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


AGENT: Final = _names(
    """
    acl_agent_master_token acl_datacenter acl_default_policy acl_disabled_ttl acl_down_policy
    acl_enable_key_list_policy acl_enforce_version_8 acl_master_token acl_replication_token acl_ttl
    addresses advertise_addr advertise_addr_ipv4 advertise_addr_ipv6 advertise_addr_wan
    advertise_addr_wan_ipv4 advertise_addr_wan_ipv6 advertise_reconnect_timeout ae_interval alt_domain
    audit auto_config auto_encrypt auto_reload_config autopilot bootstrap bootstrap_expect ca_file
    ca_path cache cert_file check_deregister_interval_min check_output_max_size check_reap_interval
    check_update_interval client_addr cloud config_entries consul datacenter default_intention_policy
    default_query_time disable_anonymous_signature disable_coordinates disable_host_node_id
    disable_http_unprintable_char_filter disable_keyring_file disable_remote_exec disable_update_check
    discard_check_output discovery_max_stale dns_config domain enable_acl_replication
    enable_agent_tls_for_checks enable_central_service_config enable_debug enable_local_script_checks
    enable_script_checks enable_syslog encrypt encrypt_verify_incoming encrypt_verify_outgoing
    experiments gossip_lan gossip_wan http_config key_file leave_on_terminate license_path limits
    locality log_file log_json log_rotate_bytes log_rotate_duration log_rotate_max_files max_query_time
    node_id node_meta node_name non_voting_server partition peering performance pid_file
    primary_datacenter primary_gateways primary_gateways_interval protocol raft_boltdb raft_logstore
    raft_protocol raft_snapshot_interval raft_snapshot_threshold raft_trailing_logs
    read_replica reconnect_timeout reconnect_timeout_wan recursors rejoin_after_leave reporting
    retry_interval retry_interval_wan retry_join retry_join_wan retry_max retry_max_wan revision rpc
    segment segment_limit segment_name_limit segments serf_lan serf_lan_allowed_cidrs serf_wan
    serf_wan_allowed_cidrs server server_name server_rejoin_age_max session_ttl_min
    skip_leave_on_interrupt snapshot_agent start_join start_join_wan sync_coordinate_interval_min
    sync_coordinate_rate_target syslog_facility tagged_addresses tls tls_cipher_suites
    tls_min_version tls_prefer_server_cipher_suites translate_wan_addrs ui ui_config ui_content_path
    ui_dir unix_sockets use_streaming_backend verify_incoming verify_incoming_https
    verify_incoming_rpc verify_outgoing verify_server_hostname version version_metadata
    version_prerelease watches xds
    """
)
CONNECT: Final = _names(
    """
    ca_config ca_provider enable_mesh_gateway_wan_federation enable_serverless_plugin
    test_ca_leaf_root_change_spread
    """
)
PROXY_DEFAULTS: Final = _names("script_command")
PORTS: Final = _names(
    "dns expose_max_port expose_min_port grpc grpc_tls http https rpc serf_lan serf_wan server"
)
ACL: Final = _names(
    """
    default_policy disabled_ttl down_policy enable_key_list_policy enable_token_persistence
    enable_token_replication enabled msp_disable_bootstrap policy_ttl role_ttl token_ttl
    """
)
ACL_TOKENS: Final = _names(
    """
    agent_master agent_recovery config_file_service_registration dns initial_management
    managed_service_provider master replication
    """
)
