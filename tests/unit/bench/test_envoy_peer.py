from bench.envoy_peer import Route, configuration, tls_context
from support.mesh_ca import MeshCa

ROUTE = Route(name="http", port=1111, target=2222, peer_uri="spiffe://domain/ns/default/dc/dc1/svc/client")


def test_each_side_asks_for_a_certificate_of_the_other_and_checks_whose_it_is(mesh_ca: MeshCa) -> None:
    tls = tls_context(mesh_ca.leaf("http"), mesh_ca.root_pem)
    matcher = {"san_type": "URI", "matcher": {"exact": ROUTE.peer_uri}}
    server = configuration([ROUTE], tls=tls, terminates=True)["static_resources"]
    (chain,) = server["listeners"][0]["filter_chains"]
    inbound = chain["transport_socket"]["typed_config"]
    assert inbound["require_client_certificate"] is True
    assert inbound["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] == [matcher]
    assert "transport_socket" not in server["clusters"][0]
    client = configuration([ROUTE], tls=tls, terminates=False)["static_resources"]
    outbound = client["clusters"][0]["transport_socket"]["typed_config"]
    assert outbound["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] == [
        matcher
    ]
    assert "transport_socket" not in client["listeners"][0]["filter_chains"][0]
