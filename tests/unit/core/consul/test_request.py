from connect_proxy.consul.request import AgentRequest, blocking_params, hash_params, path_of


def test_each_segment_of_a_path_is_encoded_as_a_whole() -> None:
    assert path_of("agent", "service", "a/b c?d%") == "/v1/agent/service/a%2Fb%20c%3Fd%25"


def test_index_0_asks_for_an_answer_at_once() -> None:
    assert blocking_params(index=0, wait=60) == {}


def test_an_index_comes_with_its_wait() -> None:
    assert blocking_params(index=7, wait=1.5) == {"index": "7", "wait": "1500ms"}


def test_a_hash_comes_with_its_wait_and_no_hash_with_none() -> None:
    assert hash_params(content_hash="ab", wait=1) == {"hash": "ab", "wait": "1000ms"}
    assert hash_params(content_hash="", wait=1) == {}


def test_an_endpoint_is_named_by_method_and_path() -> None:
    assert AgentRequest(method="PUT", path="/v1/x").endpoint == "PUT /v1/x"
